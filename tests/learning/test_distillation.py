"""A student learns from a teacher's answers alone, and only what the teacher knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenfold.commands.train import run as train
from tenfold.config.compose import compose
from tenfold.engine import runs

QUICK = ["threads=1", "trainer.accelerator=cpu", "logger=none", "test=false", "callbacks=[default]"]
QUICK += ["callbacks.progress=null", "callbacks.pictures=null", "data=images/digits", "data.augment=null"]
QUICK += ["data.batch_size=64"]


def metrics(recipe: str, folder: Path, *overrides: str) -> dict[str, float]:
    assert train(compose("train", [f"experiment={recipe}", f"folder={folder}", *QUICK, *overrides])) == 0
    return runs.read_metrics(folder)["metrics"]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("teacher") / "run"
    assert metrics("classification/mnist5k", folder, "model.network.channels=[16,32]", "trainer.max_epochs=3")
    return folder


@pytest.mark.parametrize("recipe", ["soft", "hints"])
def test_it_learns_without_labels_what_the_teacher_knows(recipe, teacher, tmp_path):
    """The labels' loss has no weight; a rate of zero learns nothing."""
    student = ["model.network.channels=[8,8]", "model.hard_weight=0", "model.soft_weight=1", f"model.teacher={teacher}"]
    found = metrics(f"distillation/mnist5k_{recipe}", tmp_path / "run", *student, "trainer.max_epochs=6")
    assert found["val/accuracy"] > 0.85 and found["val/agreement"] > 0.85
    still = metrics(
        f"distillation/mnist5k_{recipe}", tmp_path / "still", *student, "optimizer.lr=0", "trainer.max_epochs=1"
    )
    assert still["val/agreement"] < 0.5
