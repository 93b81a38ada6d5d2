"""What the taggers reach on test data, with python-crfsuite, the HMM and the most frequent tag beside them.

`python tests/benchmarks/sequence_labeling_quality.py [segmentation names pos wnut17]`; WNUT17 is read from
TENFOLD_DATA/text/wnut17/{train,dev,test}.bio. All are trained on the same training
split, and choose nothing on test data.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pycrfsuite
from harness import table, train

from tenfold.config.compose import compose, to_plain
from tenfold.engine.build import build_data
from tenfold.topics.sequence_labeling.columns import COLUMNS
from tenfold.topics.sequence_labeling.data import TaggingData, scores_of

Row = list[str]
COUNTED = ["optimizer=sgd", "optimizer.lr=0", "trainer.max_epochs=1", "trainer.limit_train_batches=1"]


def segmentation() -> Row:
    return people_daily("segmentation", "f1", {"algorithm": "ap", "max_iterations": 10})


def names() -> Row:
    return people_daily("ner", "f1", {"algorithm": "ap", "max_iterations": 10})


def pos() -> Row:
    return people_daily("pos", "accuracy", {"algorithm": "ap", "max_iterations": 10})


def wnut17() -> Row:
    folder = Path(os.environ["TENFOLD_DATA"]) / "text" / "wnut17"
    parts = {"train": "train", "val": "dev", "test": "test"}
    overrides = ["experiment=sequence_labeling/conll_ner", *(f"data.{k}={folder / v}.bio" for k, v in parts.items())]
    records = [train(*overrides, f"seed={seed}") for seed in (1, 2, 3)]
    peer = crfsuite(overrides, "f1", {"algorithm": "lbfgs", "c1": 0.1, "c2": 0.1, "max_iterations": 100})
    return row("WNUT17, mean of 3 seeds", "f1", records, markov(overrides, "f1"), peer)


def people_daily(task: str, metric: str, peer: dict[str, Any]) -> Row:
    overrides = [f"experiment=sequence_labeling/people_daily_{task}"]
    counted = [f"{overrides[0]}_hmm"] if task == "pos" else overrides  # its network takes no settings of a BiLSTM's
    return row(
        f"People's Daily, {task}",
        metric,
        [train(*overrides)],
        markov(counted, metric),
        crfsuite(overrides, metric, peer),
    )


def row(name: str, metric: str, records: list[dict[str, Any]], hmm: float, peer: tuple[float, float]) -> Row:
    scores = [record["metrics"][f"test/{metric}"] for record in records]
    seconds = sum(record["seconds"] for record in records) / len(records)
    baseline = records[0]["baselines"][f"test/{metric}"]
    spread = f" ({min(scores):.2%} to {max(scores):.2%})" if len(scores) > 1 else ""
    ours = f"{sum(scores) / len(scores):.2%}{spread}"
    return [name, metric, ours, f"{seconds:.0f}", f"{peer[0]:.2%}", f"{peer[1]:.0f}", f"{hmm:.2%}", f"{baseline:.2%}"]


def markov(overrides: Sequence[str], metric: str) -> float:
    """The recipe's data with the model that counts; a character has no letters of its own."""
    model = ["model=sequence_labeling/markov"]
    data = to_plain(compose("train", [*overrides, "folder=run"]))["data"]
    if metric == "f1":
        model.append("model._target_=tenfold.topics.sequence_labeling.module.SpanTagger")
    if data.get("unit") == "character":
        model.append("model.network.columns=[-1,0]")
    without = ["data.lexicon_parts=0"] if data.get("lexicon_parts") else []
    return train(*overrides, *model, *COUNTED, "data.min_count=1", *without)["metrics"][f"test/{metric}"]


def crfsuite(overrides: Sequence[str], metric: str, options: dict[str, Any]) -> tuple[float, float]:
    """python-crfsuite with the strings of the window that the linear tagger has; its score on test, and seconds."""
    data = build_data(to_plain(compose("train", [*overrides, "folder=run"])))
    assert isinstance(data, TaggingData)
    data.sentences = data.read_sentences()
    started = time.perf_counter()
    trainer = pycrfsuite.Trainer(algorithm=options.pop("algorithm"), verbose=False)
    for sentence in data.sentences["train"]:
        trainer.append(list(features(sentence.tokens, data.unit)), sentence.tags)
    trainer.set_params(options)
    with tempfile.TemporaryDirectory() as folder:
        trainer.train(f"{folder}/model")
        seconds = time.perf_counter() - started
        tagger = pycrfsuite.Tagger()
        tagger.open(f"{folder}/model")
        test = data.sentences["test"]
        guessed = [tagger.tag(list(features(sentence.tokens, data.unit))) for sentence in test]
    return scores_of(guessed, [sentence.tags for sentence in test], data.scheme is not None)[metric], seconds


def features(tokens: Sequence[str], unit: str) -> Iterator[list[str]]:
    """Every column of the token and of its neighbours; of those two away, the word or character alone."""
    columns = COLUMNS[unit](tokens)
    first = next(iter(columns))
    for i in range(len(tokens)):
        found = ["bias"]
        for offset in range(-2, 3):
            if not 0 <= i + offset < len(tokens):
                found.append(f"{offset}:outside")
                continue
            shown = columns if abs(offset) < 2 else {first: columns[first]}
            found += [f"{offset}:{name}={column[i + offset]}" for name, column in shown.items()]
        yield found


PARTS: dict[str, Callable[[], Row]] = {"segmentation": segmentation, "names": names, "pos": pos, "wnut17": wnut17}


def main() -> None:
    chosen = sys.argv[1:] or [name for name in PARTS if name != "wnut17" or "TENFOLD_DATA" in os.environ]
    rows = [PARTS[name]() for name in chosen]
    print(table(["data", "metric", "test", "s", "crfsuite", "s", "HMM", "most frequent tag"], rows))


if __name__ == "__main__":
    main()
