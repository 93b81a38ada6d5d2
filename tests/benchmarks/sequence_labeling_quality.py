"""Taggers beside the most frequent tag, a hidden Markov model and python-crfsuite, on the same splits.

    python tests/benchmarks/sequence_labeling_quality.py [segmentation] [names] [pos]
    python tests/benchmarks/sequence_labeling_quality.py TRAIN VAL TEST        # CoNLL files with span tags

Each recipe is trained through the command line. Span F1 is by conlleval's rules.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pycrfsuite
from harness import table, train
from seqeval.metrics import f1_score
from seqeval.scheme import IOBES

from tenfold.topics.sequence_labeling.columns import COLUMNS
from tenfold.topics.sequence_labeling.data import Conll, PeopleDaily, Sentence, TaggingData, scores_of
from tenfold.topics.sequence_labeling.markov_tagger import MarkovTagger
from tenfold.topics.sequence_labeling.spans import SpanCounts, extract_strict

LARGEST = 8_000  # sentences that crfsuite learns from: its features of the whole newspaper take hours
TASKS = {"segmentation": "f1", "names": "f1", "pos": "accuracy"}


def main(arguments: list[str]) -> None:
    """Print a table a task."""
    if len(arguments) == 3 and not set(arguments) <= TASKS.keys():
        paths = dict(zip(("train", "val", "test"), arguments, strict=True))
        overrides = [f"data.{split}={Path(path).resolve()}" for split, path in paths.items()]
        for recipe in ("conll_ner", "conll_crf"):
            compare(Conll(**paths, batch_size=16), "word", "f1", recipe, overrides)
        return
    for task in arguments or TASKS:
        plain = task == "pos"
        unit = "word" if plain else "character"
        data = PeopleDaily(task, batch_size=64, unit=unit, scheme=None if plain else "bioes")  # type: ignore[arg-type]
        compare(data, unit, TASKS[task], f"people_daily_{task}", [])


def compare(data: TaggingData, unit: str, metric: str, recipe: str, overrides: list[str]) -> None:
    """One table: each tagger's score on the test split."""
    data.setup()
    train_part, test = data.sentences["train"], data.sentences["test"]
    gold = [sentence.tags for sentence in test]
    rows = [["most frequent tag of each word", percent(data.baseline("test")[metric])]]
    tagger = MarkovTagger([s.tokens for s in train_part], [s.tags for s in train_part])
    answers = {
        "hidden Markov model": tagger.tag([s.tokens for s in test]),
        f"python-crfsuite, {min(LARGEST, len(train_part)):,} sentences": crfsuite(train_part[:LARGEST], test, unit),
    }
    for name, guessed in answers.items():
        rows.append([name, percent(scores_of(guessed, gold, metric == "f1")[metric])])
        if metric == "f1" and any("-" in tag for tags in gold for tag in tags):
            check_against_seqeval(guessed, gold)
    result = train(f"experiment=sequence_labeling/{recipe}", *overrides)
    rows.append([recipe, percent(result["metrics"][f"test/{metric}"]), f"{result['seconds'] / 60:.1f} min"])
    print(table(["tagger", f"test {metric}", "time"], [row + [""] * (3 - len(row)) for row in rows]), flush=True)


def crfsuite(train_part: list[Sentence], test: list[Sentence], unit: str) -> list[list[str]]:
    """L-BFGS with both penalties on the columns of each token and of two neighbours to each side."""
    trainer = pycrfsuite.Trainer(verbose=False)
    trainer.set_params({"c1": 0.05, "c2": 0.05, "max_iterations": 80, "feature.possible_transitions": True})
    for sentence in train_part:
        trainer.append(features(sentence.tokens, unit), sentence.tags)
    with tempfile.TemporaryDirectory() as folder:
        trainer.train(f"{folder}/model")
        tagger = pycrfsuite.Tagger()
        tagger.open(f"{folder}/model")
        return [tagger.tag(features(sentence.tokens, unit)) for sentence in test]


def features(tokens: list[str], unit: str) -> list[list[str]]:
    """`name[offset]=string`, for every column."""
    columns = COLUMNS[unit](tokens)
    return [
        [
            f"{name}[{offset}]={column[i + offset]}"
            for name, column in columns.items()
            for offset in range(-2, 3)
            if 0 <= i + offset < len(tokens)
        ]
        for i in range(len(tokens))
    ]


def check_against_seqeval(guessed: list[list[str]], gold: list[list[str]]) -> None:
    """Our strict span F1 is seqeval's."""
    counts = SpanCounts()
    for found, wanted in zip(guessed, gold, strict=True):
        counts.add(extract_strict(found, "bioes"), extract_strict(wanted, "bioes"))
    theirs = f1_score(gold, guessed, mode="strict", scheme=IOBES)
    assert abs(counts.score().f1 - theirs) < 1e-9, (counts.score(), theirs)


def percent(share: float) -> str:
    return f"{100 * share:.2f}"


if __name__ == "__main__":
    main(sys.argv[1:])
