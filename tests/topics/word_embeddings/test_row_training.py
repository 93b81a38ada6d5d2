"""Sparse steps beside the engine's: they stay in the tables' own type, and schedules follow them as they do any."""

from pathlib import Path
from typing import Any

import pytest
import torch

from contract.steps import SHORT
from tenfold.commands.train import run as train
from tenfold.config.compose import compose
from tenfold.engine.checkpoint import load_checkpoint


def checkpoint(folder: Path, recipe: str, *overrides: str) -> dict[str, Any]:
    text = folder / "text.txt"
    text.write_text("the cat sat on the mat while the dog lay under the table\n" * 200, encoding="utf-8")
    run = folder / f"run{len(list(folder.iterdir()))}"
    data = ["data=text/corpus", f"data.path={text}", "data.min_count=1", "data.length=100", "data.val_fraction=0.1"]
    chosen = [f"experiment={recipe}", f"folder={run}", *data, *SHORT, "trainer.accelerator=cpu", *overrides]
    assert train(compose("train", [*chosen, "logger=none", "callbacks.pictures=null", "test=false"])) == 0
    return load_checkpoint(run / "checkpoints" / "last.ckpt")


@pytest.mark.parametrize("recipe", ["skipgram", "hierarchical"])
def test_half_precision_trains_the_same_tables(tmp_path, monkeypatch, recipe):
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    recipe = f"word_embeddings/people_daily_{recipe}"
    full, half = (
        checkpoint(tmp_path, recipe, "model.kernel=blocks", f"trainer.precision={precision}")["state_dict"]
        for precision in ("32-true", "bf16-mixed")
    )
    for name, expected in full.items():
        assert torch.equal(half[name], expected), name


@pytest.mark.parametrize(
    ("schedule", "rate"),
    [
        ("{_target_: torch.optim.lr_scheduler.StepLR, step_size: 1, gamma: 0.5, interval: epoch}", 0.01),
        ("{_target_: torch.optim.lr_scheduler.ReduceLROnPlateau, patience: 0, threshold: 0.99, factor: 0.5}", 0.02),
    ],
)
def test_a_schedule_of_epochs_or_of_validations_does_not_move_with_each_step(tmp_path, monkeypatch, schedule, rate):
    """Two epochs at 0.04; a first score is always the best one."""
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    recipe = "word_embeddings/people_daily_skipgram"
    leave_out = ["~scheduler", "~scheduler.warmup", "~scheduler.final"]
    state = checkpoint(tmp_path, recipe, *leave_out, f"+scheduler={schedule}", "optimizer.lr=0.04")
    assert state["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(rate)
