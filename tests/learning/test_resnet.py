"""A small residual network learns digits in seconds, and it is the steps that do it."""

from __future__ import annotations

from tenfold.commands.train import run as train
from tenfold.config.compose import compose
from tenfold.engine import runs

QUICK = ["threads=1", "trainer.accelerator=cpu", "callbacks=[]", "logger=none", "test=false"]
SMALL = [
    "data=images/digits",
    "data.batch_size=64",
    "model.network.depth=8",
    "model.network.stem=full",
    "data.augment=null",
]
RECIPE = "experiment=resnet/mnist5k_resnet20"


def accuracy(folder, *overrides: str) -> float:
    assert train(compose("train", [RECIPE, f"folder={folder}", *QUICK, *SMALL, *overrides])) == 0
    return runs.read_metrics(folder)["metrics"]["val/accuracy"]


def test_it_learns_and_a_learning_rate_of_zero_does_not(tmp_path):
    assert accuracy(tmp_path / "run", "trainer.max_epochs=4") >= 0.9
    assert accuracy(tmp_path / "still", "trainer.max_epochs=1", "optimizer.lr=0") < 0.5
