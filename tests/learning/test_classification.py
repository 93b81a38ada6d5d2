"""Classifiers of images, rows and texts learn: on validation data, far above the majority, in seconds."""

from __future__ import annotations

import json

import pytest
import torch

from tenfold.commands.train import run as train
from tenfold.config.compose import compose
from tenfold.topics.classification.module import Classifier

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


def test_overfitting_sees_the_same_two_batches_as_they_are_until_it_knows_them(tmp_path, monkeypatch):
    seen, right = [], []
    step = Classifier.training_step

    def noted(module, batch, batch_idx):
        seen.append(batch)
        right.append(float((module.logits(batch).argmax(1) == batch.labels).double().mean()))
        return step(module, batch, batch_idx)

    monkeypatch.setattr(Classifier, "training_step", noted)
    overrides = ["experiment=classification/digits", "debug=overfit", "trainer.max_epochs=15", "data.batch_size=32"]
    assert train(compose("train", [*overrides, f"folder={tmp_path / 'run'}", *QUICK])) == 0
    assert len(seen) == 30 and right[0] < 0.5 and min(right[-2:]) == 1
    for epoch in range(15):  # the recipe turns and moves its digits; here it does not
        assert all(torch.equal(*pair) for pair in zip(seen[2 * epoch], seen[0], strict=True))
        assert all(torch.equal(*pair) for pair in zip(seen[2 * epoch + 1], seen[1], strict=True))
