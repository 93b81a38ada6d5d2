"""Generators learn what a class is, in seconds: images by their nearest neighbours, texts by their words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tenfold.commands.train import run as train
from tenfold.config.compose import compose, to_plain
from tenfold.engine import runs
from tenfold.engine.build import build_data
from tenfold.engine.checkpoint import load_checkpoint, rebuild
from tenfold.judge import nearest_neighbours

QUICK = ["threads=1", "trainer.accelerator=cpu", "test=false", "model.judge=null", "trainer.limit_val_batches=0"]
QUICK += ["callbacks=[default]", "callbacks.progress=null", "callbacks.pictures=null", "logger=none"]
IMAGES = ["data=images/digits", "data.augment=null", "model.network.width=16", "model.network.condition_dim=64"]
SMALL = {
    "mnist5k_cvae": [*IMAGES, "trainer.max_epochs=5", "optimizer.lr=0.005", "model.network.latent_size=8"],
    "mnist5k_flow": [*IMAGES, "trainer.max_epochs=10", "optimizer.lr=0.005", "model.network.depth=1", "model.steps=4"],
    "reviews_gru": ["trainer.max_epochs=3", "model.network.embedding_dim=16", "model.network.hidden_size=16"],
    "reviews_transformer": ["trainer.max_epochs=4", "model.network.dim=32", "model.network.num_layers=1"],
}


def trained(recipe: str, folder, *overrides: str):
    """The module after a short run, and its data."""
    config = compose(
        "train",
        [f"experiment=conditional_generation/{recipe}", f"folder={folder}", *QUICK, *SMALL[recipe], *overrides],
    )
    assert train(config) == 0
    data = build_data(to_plain(config))
    data.setup()
    return rebuild(load_checkpoint(runs.checkpoint_of(folder, "last"))).eval(), data


def agreement(module, data) -> float:
    """The share of samples whose nearest training image is of the class that was asked for."""
    labels = torch.arange(200) % 10
    training = module.pixels_of(data.sample("train", 2000).inputs)
    nearest = nearest_neighbours(module.sample(labels, seed=0), training).indices
    return float((data.labels("train")[nearest] == labels).double().mean())


@pytest.mark.parametrize("recipe", ["mnist5k_cvae", "mnist5k_flow"])
def test_digits_are_those_that_were_asked_for(recipe, tmp_path):
    assert agreement(*trained(recipe, tmp_path / "run")) >= 0.8
    assert (
        agreement(
            *trained(
                recipe, tmp_path / "still", "optimizer.lr=0", "trainer.max_epochs=1", "trainer.limit_train_batches=1"
            )
        )
        < 0.3
    )


WORDS = {"bad": ["dull", "poor", "awful"], "good": ["fine", "great", "lovely"]}


@pytest.fixture
def reviews(tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{name}\tthe film was {' '.join(rng.choice(WORDS[name], 4))} {i}" for i in range(450) for name in WORDS]
    path = tmp_path / "texts.tsv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return ["data=text/tsv", f"data.path={path}", "data.batch_size=32", "data.min_count=3", "optimizer.lr=0.02"]


@pytest.mark.parametrize("recipe", ["reviews_gru", "reviews_transformer"])
def test_texts_hold_the_words_of_their_class_and_the_logits_know_it(recipe, reviews, tmp_path):
    module, _ = trained(recipe, tmp_path / "run", *reviews)
    names = module.spec.class_names
    labels = torch.arange(40) % 2
    texts = [module.text(row) for row in module.generate(labels, seed=0, length=8, choice=module.choice)]
    own = sum(any(word in text for word in WORDS[names[y]]) for text, y in zip(texts, labels, strict=True))
    other = sum(any(word in text for word in WORDS[names[1 - y]]) for text, y in zip(texts, labels, strict=True))
    assert own >= 36 and other <= 4
    start = torch.tensor([[0, *module.spec.encode("the film was")]]).expand(2, -1)
    with torch.no_grad():
        probabilities = module.network(start, torch.arange(2))[:, -1].softmax(1)
    for label, name in enumerate(names):
        own_words = module.spec.encode(" ".join(WORDS[name]))
        assert (
            float(probabilities[label, own_words].sum()) > 0.8 > 0.2 > float(probabilities[1 - label, own_words].sum())
        )
