"""Words and their vectors: lookup, neighbours, analogies; what every file format and every evaluation here works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tenfold.data.text.subwords import unknown_vectors
from tenfold.errors import UserError, nearest


@dataclass(frozen=True)
class Subwords:
    """Vectors of hashed character n-grams of `min_n` to `max_n` characters; `buckets` [buckets, channels]."""

    buckets: Tensor
    min_n: int
    max_n: int


@dataclass(frozen=True)
class WordVectors:
    """One vector a word, most frequent first; `matrix` [words, channels], `counts` [words] where they are known.

    With `subwords` a word out of the vocabulary has a vector too.
    """

    words: tuple[str, ...]
    matrix: Tensor
    counts: Tensor | None = None
    subwords: Subwords | None = None

    @cached_property
    def index(self) -> dict[str, int]:
        return {word: place for place, word in enumerate(self.words)}

    @cached_property
    def unit(self) -> Tensor:
        """All vectors at length 1, [words, channels]."""
        return normalize(self.matrix, dim=1)

    def __contains__(self, word: str) -> bool:
        return word in self.index or self.subwords is not None

    def vector(self, word: str) -> Tensor:
        """The vector of a word [channels]; raises `UserError` where it has none."""
        if word in self.index:
            return self.matrix[self.index[word]]
        if self.subwords is not None:
            parts = self.subwords
            return unknown_vectors([word], parts.buckets, parts.min_n, parts.max_n)[0]
        close = nearest(word, self.words[:50_000])
        raise UserError(f"word {word!r}: not in the vocabulary of {len(self.words)} words{close}")

    def similarity(self, first: str, second: str) -> float:
        """Cosine of two words."""
        return float(torch.cosine_similarity(self.vector(first), self.vector(second), dim=0))

    def nearest_to(self, query: Tensor, count: int, exclude: Sequence[str] = ()) -> list[tuple[str, float]]:
        """Words with the largest cosine to `query` [channels], and that cosine, without those in `exclude`."""
        score = self.unit @ normalize(query, dim=0)
        hidden = [self.index[word] for word in exclude if word in self.index]
        score[hidden] = -torch.inf
        values, places = score.topk(min(count, len(self.words) - len(set(hidden))))
        return [(self.words[place], value) for place, value in zip(places.tolist(), values.tolist(), strict=True)]

    def neighbours(self, word: str, count: int = 10) -> list[tuple[str, float]]:
        return self.nearest_to(self.vector(word), count, exclude=[word])

    def analogy(self, first: str, second: str, third: str, count: int = 10) -> list[tuple[str, float]]:
        r"""`first` is to `second` as `third` is to …: words nearest to :math:`b - a + c`, the question's own left out
        (3CosAdd)."""
        a, b, c = (normalize(self.vector(word), dim=0) for word in (first, second, third))
        return self.nearest_to(b - a + c, count, exclude=[first, second, third])
