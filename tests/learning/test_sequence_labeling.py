"""Taggers learn from a few pages of the People's Daily what no tag on its own tells."""

from __future__ import annotations

from pathlib import Path

from tenfold.commands.train import run as train
from tenfold.config.compose import compose
from tenfold.engine import runs

FEW = [
    "data.max_documents=16",
    "data.val_fraction=0.25",
    "data.test_fraction=0.2",
    "data.min_count=2",
    "data.batch_size=16",
]


def learnt(folder: Path, *overrides: str) -> dict:
    quiet = ["callbacks=[]", "logger=none", "threads=1", "trainer.accelerator=cpu", f"folder={folder / 'run'}"]
    assert train(compose("train", [*overrides, *FEW, *quiet])) == 0
    return runs.read_metrics(folder / "run")


def test_the_crf_cuts_words(tmp_path: Path) -> None:
    recipe = ["experiment=sequence_labeling/people_daily_segmentation", "model=sequence_labeling/linear_crf"]
    found = learnt(tmp_path, *recipe, "optimizer.lr=0.02", "trainer.max_epochs=2")
    assert found["baselines"]["test/f1"] < 0.65
    assert found["metrics"]["test/f1"] > 0.75


def test_the_bilstm_finds_names(tmp_path: Path) -> None:
    recipe = ["experiment=sequence_labeling/people_daily_ner", "model.network.hidden_size=32"]
    found = learnt(tmp_path, *recipe, "optimizer.lr=0.01", "trainer.max_epochs=4")
    assert found["baselines"]["test/f1"] < 0.2
    assert found["metrics"]["test/f1"] > 0.3


def test_counts_tell_parts_of_speech(tmp_path: Path) -> None:
    found = learnt(tmp_path, "experiment=sequence_labeling/people_daily_pos_hmm", "data.min_count=1")
    assert found["metrics"]["test/accuracy"] > found["baselines"]["test/accuracy"] + 0.01
