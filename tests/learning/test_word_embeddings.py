"""Skip-gram and CBOW learn who keeps whose company, FastText's classifier what words are made of: on text that training
never sees, far better than what knows nothing."""

from __future__ import annotations

import json
from math import log
from pathlib import Path

import numpy as np
import pytest

from tenfold.commands.train import run as train
from tenfold.config.compose import compose

QUICK = ["threads=1", "trainer.accelerator=cpu", "callbacks.progress=null", "callbacks.pictures=null", "test=false"]
NOTHING = 6 * log(2)  # the loss of vectors that know nothing: one context and five noise words


def validation(recipe: str, folder: Path, name: str, *overrides: str) -> float:
    given = [f"experiment=word_embeddings/{recipe}", f"folder={folder}", *QUICK, *overrides]
    assert train(compose("train", given)) == 0
    return json.loads((folder / "metrics.json").read_text())["metrics"][f"val/{name}"]


@pytest.mark.parametrize("model", ["skipgram", "cbow"])
def test_it_learns_and_a_learning_rate_of_zero_does_not(model: str, tmp_path: Path) -> None:
    options = [f"model=word_embeddings/{model}", "model.network.channels=30", "trainer.max_epochs=3"]
    loss = validation("python_reference", tmp_path / "run", "loss", *options, "optimizer.lr=0.1")
    still = validation("python_reference", tmp_path / "still", "loss", *options, "optimizer.lr=0")
    assert still == pytest.approx(NOTHING, rel=1e-3)
    assert loss < 0.8 * NOTHING


def test_the_classifier_learns_from_parts_of_words(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    stems = ["".join(random.choice(list("aeioulmnrst"), 5)) for _ in range(900)]
    lines = [f"{'ab'[n % 2]}\t{stems[3 * n]} {('over', 'un')[n % 2]}{stems[3 * n + 1]}" for n in range(300)]
    (tmp_path / "texts.tsv").write_text("\n".join(lines), encoding="utf-8")
    options = [f"data.path={tmp_path / 'texts.tsv'}", "data.buckets=5000", "data.batch_size=16"]
    assert validation("tsv", tmp_path / "run", "accuracy", *options) > 0.9
