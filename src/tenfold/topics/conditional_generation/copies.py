"""How long a run of tokens a text shares with the training texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_FACTOR = np.uint64(6_364_136_223_846_793_005)  # odd, so that multiplying by it loses nothing (Knuth's MMIX)


class Joined(NamedTuple):
    """Texts end to end: each token scattered over 64 bits, its text, and the tokens from it to that text's end."""

    tokens: np.ndarray
    owners: np.ndarray
    remaining: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]]) -> Joined:
        lengths = np.array([len(text) for text in texts], dtype=np.int64)
        flat = np.fromiter((token for text in texts for token in text), dtype=np.uint64, count=lengths.sum())
        owners = np.repeat(np.arange(len(texts)), lengths)
        return cls(_scattered(flat + np.uint64(1)), owners, lengths.cumsum()[owners] - np.arange(len(flat)))


class Runs(NamedTuple):
    """Runs of one length: where they start, and their 64-bit hashes."""

    starts: np.ndarray
    hashes: np.ndarray

    def among(self, others: Runs) -> Runs:
        """Those that stand among the others too."""
        shared = np.isin(self.hashes, others.hashes)
        return Runs(self.starts[shared], self.hashes[shared])

    def longer(self, text: Joined, length: int) -> Runs:
        """With the token that follows each; `length`: of the runs so far. A run at the end of its text has none."""
        goes_on = text.remaining[self.starts] > length
        starts = self.starts[goes_on]
        return Runs(starts, _scattered(self.hashes[goes_on] * _FACTOR + text.tokens[starts + length]))


def longest_shared_runs(texts: Sequence[Sequence[int]], training: Sequence[Sequence[int]]) -> np.ndarray:
    """The tokens of each text's longest run that stands in a training text too, `[texts]`.

    Runs that are shared are made longer, a token at a time, until none is left. Equal hashes are taken for equal runs:
    of 10^6 and 10^4 runs, two that differ are mistaken once in 10^9 times.
    """
    ours, theirs = Joined.of(texts), Joined.of(training)
    longest = np.zeros(len(texts), dtype=np.int64)
    mine, known = (Runs(np.arange(len(text.tokens)), text.tokens) for text in (ours, theirs))
    length = 1
    while True:
        mine = mine.among(known)
        if not len(mine.starts):
            return longest
        longest[ours.owners[mine.starts]] = length
        known = known.among(mine)
        mine, known = mine.longer(ours, length), known.longer(theirs, length)
        length += 1


def _scattered(values: np.ndarray) -> np.ndarray:
    """Bits mixed, so that neighbouring numbers share none of their pattern (Vigna's splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
    return values ^ (values >> np.uint64(31))
