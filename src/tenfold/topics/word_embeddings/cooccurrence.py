"""Co-occurrence counts of a corpus of any size: sorted runs in memory, spilled to disk, merged a key range at a
time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tenfold.data.text.corpus import SENTENCE_END

Run = tuple[NDArray[np.int64], NDArray[np.float64]]
ENTRY = np.dtype([("key", np.int64), ("value", np.float64)])


def sum_by_key(keys: NDArray[np.int64], values: NDArray[np.float64]) -> Run:
    """Distinct keys in order, and the sum of the values of each."""
    unique, inverse = np.unique(keys, return_inverse=True)
    return unique, np.bincount(inverse, weights=values, minlength=len(unique)).astype(np.float64)


def chunk_pairs(tokens: NDArray[np.int32], num_words: int, window: int) -> Run:
    """Counts within one chunk: pairs `distance` apart in a sentence weigh 1/distance, both ways; key = row ·
    `num_words` + column."""
    sentence = np.cumsum(tokens == SENTENCE_END)[tokens != SENTENCE_END]
    words = tokens[tokens != SENTENCE_END].astype(np.int64)
    keys, values = [np.zeros(0, np.int64)], [np.zeros(0)]
    for distance in range(1, min(window, len(words) - 1) + 1):
        near = sentence[distance:] == sentence[:-distance]
        left, right = words[:-distance][near], words[distance:][near]
        keys += [left * num_words + right, right * num_words + left]
        values += [np.full(2 * len(left), 1 / distance)]
    return sum_by_key(np.concatenate(keys), np.concatenate(values))


@dataclass
class CooccurrenceCounter:
    """Adds chunks up. At most `limit` entries (16 bytes each; merging holds about five times that) are in memory at a
    time.

    Runs that do not fit go to `folder`; `shards` then writes the sum of all of them.
    """

    num_words: int
    window: int
    folder: Path
    limit: int = 8_000_000
    runs: list[Run] = field(default_factory=list)
    spilled: list[Path] = field(default_factory=list)

    def add(self, tokens: NDArray[np.int32]) -> None:
        self.runs.append(chunk_pairs(tokens, self.num_words, self.window))
        if sum(len(keys) for keys, _ in self.runs) > self.limit:
            self.runs = [_merge(self.runs)]
            if len(self.runs[0][0]) > self.limit // 2:
                self._spill()

    def _spill(self) -> None:
        path = self.folder / f"run{len(self.spilled)}.bin"
        entries = np.empty(len(self.runs[0][0]), ENTRY)
        entries["key"], entries["value"] = self.runs.pop()
        entries.tofile(path)
        self.spilled.append(path)

    def merged(self) -> Iterator[Run]:
        """All counts in order of their key, in parts of about `limit` entries at most."""
        runs: list[Run] = [_merge(self.runs)] if self.runs else []
        files = [np.memmap(path, ENTRY, mode="r") for path in self.spilled]
        runs += [(entries["key"], entries["value"]) for entries in files]
        if not runs:
            return
        longest = max(runs, key=lambda run: len(run[0]))[0]
        pivots = longest[:: max(1, self.limit // len(runs))][1:]
        edges = [np.concatenate([[0], np.searchsorted(keys, pivots), [len(keys)]]) for keys, _ in runs]
        for part in range(len(pivots) + 1):
            cut = [slice(edge[part], edge[part + 1]) for edge in edges]
            yield _merge([(keys[s], values[s]) for (keys, values), s in zip(runs, cut, strict=True)])

    def shards(self, seed: int = 0) -> list[Path]:
        """Deal all counts out at random to files that fit in memory, so that reading these in turn shuffles the
        whole."""
        upper = (
            sum(len(keys) for keys, _ in self.runs)
            + sum(path.stat().st_size for path in self.spilled) // ENTRY.itemsize
        )
        number = max(1, -(-upper // self.limit))
        random = np.random.default_rng(seed)
        paths = [self.folder / f"shard{index}.bin" for index in range(number)]
        files = [path.open("wb") for path in paths]
        for keys, values in self.merged():
            owner = random.integers(number, size=len(keys))
            for index, file in enumerate(files):
                entries = np.empty(int((owner == index).sum()), ENTRY)
                entries["key"], entries["value"] = keys[owner == index], values[owner == index]
                entries.tofile(file)
        for file in files:
            file.close()
        for path in self.spilled:
            path.unlink()
        self.runs, self.spilled = [], []
        return paths


def _merge(runs: list[Run]) -> Run:
    return sum_by_key(np.concatenate([keys for keys, _ in runs]), np.concatenate([values for _, values in runs]))


def count_cooccurrences(
    chunks: Iterable[NDArray[np.int32]], num_words: int, window: int, folder: Path, limit: int = 8_000_000
) -> list[Path]:
    """Count the co-occurrences of all `chunks` of tokens into shard files in `folder`; see `CooccurrenceCounter`."""
    folder.mkdir(parents=True, exist_ok=True)
    counter = CooccurrenceCounter(num_words, window, folder, limit)
    for tokens in chunks:
        counter.add(tokens)
    return counter.shards()


def read_shard(path: Path, num_words: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Rows, columns and counts of one shard."""
    entries = np.fromfile(path, ENTRY)
    rows, columns = np.divmod(entries["key"], num_words)
    return rows, columns, entries["value"].astype(np.float32)
