"""A few labels spread over a graph, and triangles are counted; neither by a network that has stopped learning."""

from __future__ import annotations

from pathlib import Path

from tenfold.commands.train import run as train
from tenfold.config.compose import compose
from tenfold.engine import runs


def learnt(folder: Path, *overrides: str) -> dict:
    quiet = ["callbacks=[]", "logger=none", "threads=1", "trainer.accelerator=cpu", f"folder={folder / 'run'}"]
    assert train(compose("train", [*overrides, *quiet])) == 0
    return runs.read_metrics(folder / "run")["metrics"]


def test_ten_labels_a_class_are_enough_for_the_digits(tmp_path: Path) -> None:
    few = ["data.val_per_class=5", "trainer.max_epochs=40", "trainer.check_val_every_n_epoch=20"]
    assert learnt(tmp_path, "experiment=gnn/digits_gcn", *few)["test/accuracy"] > 0.93


def test_triangles_are_counted(tmp_path: Path) -> None:
    found = learnt(tmp_path, "experiment=gnn/atlas", "trainer.max_epochs=8", "optimizer.lr=0.005")
    assert found["test/r2"] > 0.9
