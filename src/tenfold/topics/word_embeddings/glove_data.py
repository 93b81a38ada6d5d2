"""The entries of a corpus's co-occurrence matrix, counted once, in random order in a file mapped into memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tenfold.data.base import DataModule, Split
from tenfold.data.text.corpus import SENTENCE_END, Corpus
from tenfold.errors import UserError
from tenfold.topics.word_embeddings.cooccurrence import ENTRY, count_cooccurrences
from tenfold.topics.word_embeddings.data import CorpusData, WordSpec, check_held_out, release
from tenfold.topics.word_embeddings.draws import uniform

_READ = 4_000_000  # tokens that are counted at once
_PART = 1_000_000  # entries that the baseline looks at at once


class Entries(NamedTuple):
    """Words `rows`, their company `columns`, and how often, `counts`, all [samples, length]; 0 counts are padding."""

    rows: Tensor
    columns: Tensor
    counts: Tensor


class EntryRows:
    """A split's entries, `length` to a sample, fetched from their mapped file."""

    def __init__(self, path: Path, num_words: int, length: int) -> None:
        self.entries = np.memmap(path, ENTRY, mode="r") if path.stat().st_size else np.zeros(0, ENTRY)
        self.num_words, self.length = num_words, length

    def __len__(self) -> int:
        return -(-len(self.entries) // self.length)

    def fetch(self, indices: Tensor) -> Entries:
        found = np.zeros((len(indices), self.length), ENTRY)
        for row, start in zip(found, (indices * self.length).tolist(), strict=True):
            part = self.entries[start : start + self.length]
            row[: len(part)] = part
        rows, columns = np.divmod(found["key"], self.num_words)
        counts = torch.from_numpy(found["value"].astype(np.float32))
        return Entries(torch.from_numpy(rows), torch.from_numpy(columns), counts)


class Cooccurrences(DataModule):
    """How often words stand within `window` words of each other, nearer ones weighing more (1 / distance).

    A share of all pairs of words is left out for val and test, with both of its entries. Counting holds at most about
    `limit` entries in memory, 16 bytes each and five times that while merging; files hold the rest.

    corpus: the text; its own splits and batches do not matter here.
    length: entries of a sample; a batch is `batch_size` samples.
    x_max, power: of the weights in the loss, for the baseline beside it.
    """

    spec_class = WordSpec
    spec: WordSpec

    def __init__(
        self,
        corpus: CorpusData,
        batch_size: int = 64,
        length: int = 1000,
        window: int = 10,
        limit: int = 8_000_000,
        val_fraction: float = 0.03,
        test_fraction: float = 0.03,
        x_max: float = 100.0,
        power: float = 0.75,
        **options: Any,
    ) -> None:
        super().__init__(batch_size, **options)
        self.x_max, self.power = x_max, power
        for name, value in (("length", length), ("window", window), ("limit", limit)):
            if value < 1:
                raise UserError(f"data.{name}: found {value}, expected at least 1")
        check_held_out(val_fraction, test_fraction)
        self.corpus, self.length, self.window, self.limit = corpus, length, window, limit
        self.fractions = {"val": val_fraction, "test": test_fraction}

    def load(self) -> None:
        corpus = self.corpus.read()
        self.spec = WordSpec(corpus.words, tuple(corpus.counts.tolist()), self.seed)
        self._folder = tempfile.TemporaryDirectory(prefix="tenfold-cooccurrences-")
        folder = Path(self._folder.name)
        shards = count_cooccurrences(_chunks(corpus), len(corpus.words), self.window, folder, self.limit)
        self._deal(shards, folder, len(corpus.words))
        self.splits = {
            name: EntryRows(folder / f"{name}.bin", len(corpus.words), self.length) for name in ("train", "val", "test")
        }

    def baseline(self, split: Split) -> dict[str, float]:
        r"""What the words' own frequencies say: :math:`\log X_{ij} \approx a + b \log n_i n_j`, fitted to train by the
        same weights."""
        square = np.zeros((2, 2))
        product = np.zeros(2)
        for features, logs, weight in self._regressors("train"):
            square += features.T @ (weight[:, None] * features)
            product += features.T @ (weight * logs)
        fitted = np.linalg.lstsq(square, product, rcond=None)[0]
        error = total = 0.0
        for features, logs, weight in self._regressors(split):
            error += float((weight * (features @ fitted - logs) ** 2).sum())
            total += float(weight.sum())
        return {"loss": error / total}

    def _regressors(self, split: Split) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
        r"""1 and :math:`\log n_i n_j` [entries, 2], log counts and weights [entries] of a split, part by part."""
        part: Any = self.splits[split]
        frequency = np.log(np.array(self.spec.counts, np.float64))
        for start in range(0, len(part.entries), _PART):
            entries = part.entries[start : start + _PART]
            rows, columns = np.divmod(entries["key"], part.num_words)
            features = np.stack([np.ones(len(rows)), frequency[rows] + frequency[columns]], axis=1)
            yield features, np.log(entries["value"]), np.minimum(1, (entries["value"] / self.x_max) ** self.power)

    def _deal(self, shards: list[Path], folder: Path, num_words: int) -> None:
        """Write each split's entries in random order: shards hold random ones already, each is shuffled here."""
        random = np.random.default_rng(self.split_seed)
        files = {name: (folder / f"{name}.bin").open("wb") for name in ("train", "val", "test")}
        for shard in shards:
            entries = random.permutation(np.fromfile(shard, ENTRY))
            rows, columns = np.divmod(entries["key"], num_words)
            pair = np.minimum(rows, columns) * num_words + np.maximum(rows, columns)
            lot = uniform(torch.from_numpy(pair), self.split_seed, 0, 0).numpy()
            val, test = self.fractions["val"], self.fractions["test"]
            owner = {"val": lot < val, "test": (lot >= val) & (lot < val + test), "train": lot >= val + test}
            for name, own in owner.items():
                entries[own].tofile(files[name])
            shard.unlink()
        for file in files.values():
            file.close()


def _chunks(corpus: Corpus) -> Iterator[NDArray[np.int32]]:
    """The corpus in pieces that end where a sentence does, so that no pair is lost."""
    start = 0
    while start < len(corpus.tokens):
        piece = np.asarray(corpus.tokens[start : start + _READ])
        ends = np.flatnonzero(piece == SENTENCE_END)
        piece = piece[: ends[-1] + 1] if len(ends) else piece
        start += len(piece)
        yield piece
        release(corpus.tokens)
