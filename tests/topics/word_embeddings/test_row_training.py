"""Sparse steps beside the engine's: they stay in the tables' own type, whatever autocast says."""

from pathlib import Path

import pytest
import torch

from contract.steps import SHORT
from tenfold.commands.train import run as train
from tenfold.config.compose import compose
from tenfold.engine.checkpoint import load_checkpoint


def tables(folder: Path, recipe: str, *overrides: str) -> dict[str, torch.Tensor]:
    text = folder / "text.txt"
    text.write_text("the cat sat on the mat while the dog lay under the table\n" * 200, encoding="utf-8")
    run = folder / "-".join(["run", *overrides]).replace("=", "-")
    data = ["data=text/corpus", f"data.path={text}", "data.min_count=1", "data.length=100", "data.val_fraction=0.1"]
    chosen = [f"experiment={recipe}", f"folder={run}", *data, *SHORT, "trainer.accelerator=cpu", *overrides]
    assert train(compose("train", [*chosen, "logger=none", "callbacks.pictures=null", "test=false"])) == 0
    return load_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]


@pytest.mark.parametrize("recipe", ["skipgram", "hierarchical"])
def test_half_precision_trains_the_same_tables(tmp_path, monkeypatch, recipe):
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    recipe = f"word_embeddings/people_daily_{recipe}"
    full = tables(tmp_path, recipe, "model.kernel=blocks", "trainer.precision=32-true")
    half = tables(tmp_path, recipe, "model.kernel=blocks", "trainer.precision=bf16-mixed")
    for name, expected in full.items():
        assert torch.equal(half[name], expected), name
