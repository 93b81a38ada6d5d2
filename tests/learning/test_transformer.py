"""A translator and a language model learn: on validation data, far above the trivial answer, in seconds."""

from __future__ import annotations

import json
import random

from tenfold.commands.train import run as train
from tenfold.config.compose import compose

QUICK = ["threads=1", "trainer.accelerator=cpu", "callbacks.progress=null", "callbacks.pictures=null", "test=false"]


def metrics(recipe: str, folder, *overrides: str) -> dict[str, float]:
    config = compose("train", [f"experiment=transformer/{recipe}", f"folder={folder}", *QUICK, *overrides])
    assert train(config) == 0
    return json.loads((folder / "metrics.json").read_text())["metrics"]


def test_a_translator_learns_to_turn_words_round_and_one_that_stands_still_does_not(tmp_path):
    rng = random.Random(0)
    words = {"".join(rng.choices("abcd", k=rng.randint(1, 4))) for _ in range(2000)}
    rows = "".join(f"{word}\t{word[::-1]}\n" for word in sorted(words))
    (tmp_path / "pairs.tsv").write_text(rows, encoding="utf-8")
    small = [
        f"data.path={tmp_path / 'pairs.tsv'}",
        "data.batch_size=16",
        "model.network.dim=48",
        "model.label_smoothing=0",
    ]
    small += ["model.network.encoder_layers=1", "model.network.decoder_layers=1", "model.network.dropout=0"]
    learned = metrics("pairs", tmp_path / "run", *small, "trainer.max_epochs=20")
    still = metrics("pairs", tmp_path / "still", *small, "trainer.max_epochs=1", "optimizer.lr=0")
    assert learned["val/exact_match"] > 0.5 > still["val/exact_match"]
    assert learned["val/loss"] < 0.3 < still["val/loss"]


def test_a_language_model_learns_what_depends_on_more_than_the_last_characters(tmp_path):
    """Each line ends in the letter that it began with, which no bigram can tell."""
    rng = random.Random(0)
    lines = (f"{letter}{'-' * rng.randint(2, 5)}{letter}" for letter in rng.choices("abcdefgh", k=3000))
    (tmp_path / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    small = [f"data.path={tmp_path / 'text.txt'}", "data.block=32", "data.context=16", "data.stride=32", "data.order=2"]
    small += ["model.network.dim=48", "model.network.num_layers=2", "model.network.dropout=0", "data.batch_size=16"]
    config = compose("train", ["experiment=transformer/text_files", f"folder={tmp_path / 'run'}", *QUICK, *small])
    assert train(config) == 0
    record = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert record["metrics"]["val/bits_per_character"] < record["baselines"]["val/bits_per_character"] - 0.2
