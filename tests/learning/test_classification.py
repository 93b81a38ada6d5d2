"""Classifiers of images, rows and texts learn: on validation data, far above the majority, in seconds."""

from __future__ import annotations

import json

import pytest

from tenfold.commands.train import run as train
from tenfold.config.compose import compose

QUICK = ["threads=1", "trainer.accelerator=cpu", "callbacks.progress=null", "callbacks.pictures=null", "test=false"]
ENOUGH = {  # validation accuracy, after so many epochs on so many samples
    "digits": (0.93, ["trainer.max_epochs=3"]),
    "breast_cancer": (0.9, ["trainer.max_epochs=10"]),
    "sentiment": (
        0.7,
        ["trainer.max_epochs=1", "trainer.limit_train_batches=60", "data.max_size=5000", "optimizer.lr=0.02"],
    ),
}


def accuracy(recipe: str, folder, *overrides: str) -> float:
    _, short = ENOUGH[recipe]
    config = compose("train", [f"experiment=classification/{recipe}", f"folder={folder}", *QUICK, *short, *overrides])
    assert train(config) == 0
    return json.loads((folder / "metrics.json").read_text())["metrics"]["val/accuracy"]


@pytest.mark.parametrize("recipe", ENOUGH)
def test_it_learns_and_a_learning_rate_of_zero_does_not(recipe, tmp_path):
    enough, _ = ENOUGH[recipe]
    assert accuracy(recipe, tmp_path / "run") >= enough
    assert accuracy(recipe, tmp_path / "still", "optimizer.lr=0", "trainer.max_epochs=1") < enough
