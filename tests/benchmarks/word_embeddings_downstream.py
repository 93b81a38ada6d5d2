"""What trained vectors are worth where labels are few: a text classifier and a tagger that begin with them, or without.

    python tests/benchmarks/word_embeddings_downstream.py [reviews characters tags] [--seeds 5]

reviews: 500 labelled reviews, cut into the longest words that the People's Daily knows (characters: into characters);
the vectors are of these, skip-gram over the training reviews without their labels.
tags: parts of speech, 1,000 tagged sentences; the vectors are of words, over the People's Daily's training sentences
without their tags. Val chooses the checkpoint (500 texts or sentences), test is the recipe's own test split (of the
tagger 2,000 sentences of it). A seed draws the labelled ones, the network's beginning and the order, alike with and
without vectors: the gain is the mean of differences, with its 95 % interval by Student's t.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from harness import plus_minus, table
from word_embeddings_alignment import trained

from tenfold.commands.train import run as train
from tenfold.config.compose import compose
from tenfold.data.text.people_daily import read_documents
from tenfold.data.text.reviews import Reviews
from tenfold.data.text.tokenizers import characters
from tenfold.data.text.vector_files import save_vectors
from tenfold.topics.sequence_labeling.sources import PeopleDaily
from tenfold.topics.word_embeddings.data import TextCorpus

QUIET = ["threads=1", "trainer.accelerator=cpu", "callbacks.progress=null", "callbacks.pictures=null"]
CHANNELS = 64


def score(folder: Path, metric: str, *overrides: str) -> float:
    """The test metric of a run."""
    with tempfile.TemporaryDirectory(dir=folder) as name, contextlib.redirect_stdout(io.StringIO()):
        run = Path(name) / "run"
        assert train(compose("train", [f"folder={run}", *QUIET, *overrides])) == 0
        return float(json.loads((run / "metrics.json").read_text(encoding="utf-8"))["metrics"][f"test/{metric}"])


def vectors_file(folder: Path, lines: Sequence[str], epochs: int) -> Path:
    """Vectors of what stands between spaces in `lines`."""
    (folder / "unlabelled.txt").write_text("\n".join(lines), encoding="utf-8")
    data = TextCorpus(str(folder / "unlabelled.txt"), tokenizer="spaces", length=500, min_count=5)
    data.setup()
    part = data.splits["train"]
    save_vectors(trained(data, part, 1, epochs, CHANNELS), folder / "vectors.txt")  # type: ignore[arg-type]
    return folder / "vectors.txt"


def longest_words(longest: int = 6) -> Callable[[str], list[str]]:
    """Cuts a Chinese text, from the left, into the longest words that the People's Daily has."""
    known = {word for document in read_documents() for sentence in document for word, _ in sentence}

    def cut(text: str) -> list[str]:
        signs, words = characters(text), []
        while signs:
            sizes = (n for n in range(min(longest, len(signs)), 1, -1) if "".join(signs[:n]) in known)
            size = next(sizes, 1)
            words.append("".join(signs[:size]))
            del signs[:size]
        return words

    return cut


def reviews(folder: Path, seeds: int, cut: Callable[[str], list[str]] | None = None) -> tuple[list[float], list[float]]:
    data, cut = Reviews(batch_size=64), cut or longest_words()
    data.setup()
    texts = {split: [" ".join(cut(text)) for text in part.texts] for split, part in data.texts.items()}
    lines = {
        split: [f"{int(y)}\t{x}" for x, y in zip(texts[split], part.labels, strict=True)]
        for split, part in data.texts.items()
    }
    vectors = vectors_file(folder, texts["train"], 10)
    found: tuple[list[float], list[float]] = ([], [])
    for seed in range(1, seeds + 1):
        drawn = {"": few(lines["train"], 500, seed), "val_": few(lines["val"], 500, seed), "test_": lines["test"]}
        given = [f"data.{key}path={write(folder / f'{key}texts.tsv', part)}" for key, part in drawn.items()]
        given += ["experiment=classification/tsv", "model=classification/text_cnn", "optimizer.lr=0.002"]
        given += ["data.tokenizer=words"]
        given += [f"model.network.embedding_dim={CHANNELS}", f"seed={seed}", "trainer.max_epochs=15"]
        for scores, begun in zip(found, ("null", vectors), strict=True):
            scores.append(score(folder, "accuracy", *given, f"data.vectors={begun}"))
    return found


def tags(folder: Path, seeds: int) -> tuple[list[float], list[float]]:
    data = PeopleDaily("pos", unit="word", scheme=None, batch_size=64)
    sentences = data.read_sentences()
    vectors = vectors_file(folder, [" ".join(sentence.tokens) for sentence in sentences["train"]], 5)
    lines = {
        split: ["\n".join(map("\t".join, zip(sentence.tokens, sentence.tags, strict=True))) + "\n" for sentence in part]
        for split, part in sentences.items()
    }
    found: tuple[list[float], list[float]] = ([], [])
    for seed in range(1, seeds + 1):
        drawn = {"train": few(lines["train"], 1000, seed), "val": few(lines["val"], 500, seed)}
        drawn["test"] = few(lines["test"], 2000, 0)
        given = [f"data.{key}={write(folder / f'{key}.conll', part)}" for key, part in drawn.items()]
        given += ["experiment=sequence_labeling/conll_ner", "model=sequence_labeling/bilstm", "data.scheme=null"]
        given += ["data.tokenizer=spaces", "data.max_characters=4", "optimizer.lr=0.003", f"seed={seed}"]
        given += ["trainer.max_epochs=10"]
        for scores, begun in zip(found, ("null", vectors), strict=True):
            scores.append(score(folder, "accuracy", *given, f"data.vectors={begun}"))
    return found


def few(lines: list[str], number: int, seed: int) -> list[str]:
    return random.Random(seed).sample(lines, number)


def write(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


PARTS: dict[str, Callable[[Path, int], tuple[list[float], list[float]]]] = {
    "reviews": reviews,
    "characters": partial(reviews, cut=characters),
    "tags": tags,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in given.parts:
        with tempfile.TemporaryDirectory() as folder:
            without, begun = PARTS[name](Path(folder), given.seeds)
        gains = [after - before for before, after in zip(without, begun, strict=True)]
        rows.append([name, *(plus_minus([100 * value for value in column]) for column in (without, begun, gains))])
    print(table(["task", "test accuracy without, %", "with vectors, %", "gain, points"], rows))


if __name__ == "__main__":
    main()
