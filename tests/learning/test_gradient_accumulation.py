"""The networks of the study learn, whole and cut, and so does a classifier that chooses its micro-batches."""

from __future__ import annotations

import json
import math

import pytest

from tenfold.commands.train import run as train
from tenfold.config.compose import compose

QUICK = ["threads=1", "trainer.accelerator=cpu", "callbacks.progress=null", "callbacks.pictures=null", "test=false"]
DIGITS = ["data=images/digits", "data.batch_size=64", "model.micro_batch_sizes=[16]", "model.network.channels=[16]"]
STUDIES = {  # the validation loss that is enough; that of knowing nothing is ln 10 = 2.3, and 6.0 for the texts
    "exact": (1.0, [*DIGITS, "model.variants=[micro]"]),
    "batch_norm": (1.0, [*DIGITS, "model.variants=[micro,whole_gradient]", "trainer.max_epochs=1"]),
    "variable_length": (5.6, ["trainer.limit_train_batches=12", "model.micro_batch_sizes=[16]"]),
}


def metrics(recipe: str, folder, *overrides: str) -> dict[str, float]:
    config = compose("train", [f"experiment=gradient_accumulation/{recipe}", f"folder={folder}", *QUICK, *overrides])
    assert train(config) == 0
    return json.loads((folder / "metrics.json").read_text())["metrics"]


@pytest.mark.parametrize("recipe", STUDIES)
def test_every_copy_learns(recipe, tmp_path):
    enough, short = STUDIES[recipe]
    losses = {name: value for name, value in metrics(recipe, tmp_path / "run", *short).items() if "/loss" in name}
    assert len(losses) >= 2 and all(value < enough for value in losses.values()), losses


def test_it_is_the_steps_that_do_it(tmp_path):
    enough, short = STUDIES["exact"]
    still = metrics("exact", tmp_path / "run", *short, "optimizer.lr=0", "trainer.max_steps=2")
    assert still["val/loss"] > math.log(10) - 0.05 > enough


def test_a_classifier_in_little_memory_learns(tmp_path):
    short = ["data=images/digits", "data.batch_size=64", "trainer.max_epochs=3", "trainer.memory_budget=3"]
    found = metrics("auto", tmp_path / "run", *short)
    assert found["val/accuracy"] >= 0.93
