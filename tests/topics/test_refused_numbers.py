"""Numbers with which no network or game can be built are refused by their key, wherever they are typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tenfold.config.spec import DataSpec
from tenfold.data.graphs.nodes import labelled_split
from tenfold.errors import UserError
from tenfold.topics.conditional_generation.flow_networks import VelocityUNet
from tenfold.topics.conditional_generation.vae_networks import VAE
from tenfold.topics.gan.module import GAN
from tenfold.topics.gan.networks import ImageGenerator, PointDiscriminator, PointGenerator
from tenfold.topics.gnn.networks import GCN
from tenfold.topics.sequence_labeling.networks import LinearTagger
from tenfold.topics.word_embeddings.glove import GloVe


def game(**arguments: Any) -> GAN:
    return GAN(DataSpec(), PointGenerator(2), PointDiscriminator(2), **arguments)


CASES: dict[str, Callable[[], Any]] = {
    "model.r1": lambda: game(r1=-1.0),
    "model.r2": lambda: game(r2=-1.0),
    "model.gradient_penalty": lambda: game(gradient_penalty=-1.0),
    "model.translate": lambda: game(translate=-1),
    "model.critic_steps": lambda: game(critic_steps=0),
    "model.eval_samples": lambda: game(eval_samples=1),
    "model: a width in hidden": lambda: PointGenerator(2, hidden=[0]),
    "model.generator.latent_size": lambda: ImageGenerator(1, (28, 28), 10, latent_size=0),
    "model.network.latent_size": lambda: VAE(1, (28, 28), 10, latent_size=0),
    "model.network.depth": lambda: VelocityUNet(1, (28, 28), 10, depth=0),
    "model.network.input_dropout": lambda: GCN(4, 2, input_dropout=-1.0),
    "model.network.dropout": lambda: GCN(4, 2, dropout=2.0),
    "model.network.window": lambda: LinearTagger([5], ["A", "B"], None, window=-1),
    "model.network.x_max": lambda: GloVe(5, x_max=0.0),
    "model.network.power": lambda: GloVe(5, power=-1.0),
    "data.val_per_class": lambda: labelled_split(torch.tensor([0, 1]), 1, -1, seed=0),
}


@pytest.mark.parametrize("key", CASES)
def test_the_line_names_the_key(key):
    with pytest.raises(UserError, match=rf"^{key}: found -?[\d.]+, expected"):
        CASES[key]()
