"""Labelled texts as FastText's supervised mode reads them: a text is the rows of its words, their character n-grams and
its word n-grams."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tenfold.data.text.labelled_text import TextData
from tenfold.data.text.reviews import Reviews
from tenfold.data.text.spec import TextSpec
from tenfold.data.text.subwords import ngram_hashes, word_hashes
from tenfold.data.text.tokenizers import TOKENIZERS
from tenfold.data.text.tsv import TSV
from tenfold.data.text.vocabulary import Vocabulary
from tenfold.errors import UserError, check_number

_FACTOR = np.uint64(116049371)


def word_ngrams(hashes: NDArray[np.uint32], longest: int) -> NDArray[np.uint64]:
    """Hashes of all runs of 2 to `longest` words, bit for bit as fastText makes them: h ← h · 116049371 + next."""
    signed = hashes.astype(np.int32).astype(np.int64).astype(np.uint64)
    found, state = [np.zeros(0, np.uint64)], signed
    for size in range(2, longest + 1):
        state = state[:-1] * _FACTOR + signed[size - 1 :]
        found.append(state)
    return np.concatenate(found)


@dataclass(frozen=True)
class TextRowSpec(TextSpec):
    """Rows: padding at 0, a text of nothing at 1, the words, then `buckets` that all n-grams share.

    class_counts: texts of each class in training.
    word_ngrams: words of the longest run that has a row; 1 for single words only.
    min_n, max_n: characters of a word's n-grams; `max_n` 0 for none.
    """

    provides = frozenset({"num_rows", "class_counts"})

    class_counts: tuple[int, ...]
    word_ngrams: int
    buckets: int
    min_n: int
    max_n: int

    def network_arguments(self) -> dict[str, Any]:
        return {"num_rows": len(self.tokens) + self.buckets, "class_counts": self.class_counts}

    @cached_property
    def _known(self) -> dict[str, tuple[int, ...]]:
        """Each token's rows, as they are met: its own, where the vocabulary has it, and those of its n-grams."""
        return {token: (row,) for row, token in enumerate(self.tokens) if row > Vocabulary.unknown_idx}

    @cached_property
    def _rows(self) -> dict[str, tuple[int, ...]]:
        return {}

    @cached_property
    def _hashes(self) -> dict[str, int]:
        return {}

    def encode(self, text: str) -> list[int]:
        """Rows of a text, at least one."""
        tokens = TOKENIZERS[self.tokenizer](text)[: self.max_length]
        self._meet(set(tokens).difference(self._rows))
        rows = list(itertools.chain.from_iterable(self._rows[token] for token in tokens))
        if self.word_ngrams > 1:
            hashes = np.array([self._hashes[token] for token in tokens], np.uint32)
            places = word_ngrams(hashes, self.word_ngrams) % np.uint64(self.buckets)
            rows += (places.astype(np.int64) + len(self.tokens)).tolist()
        return rows or [Vocabulary.unknown_idx]

    def _meet(self, new: set[str]) -> None:
        """Work out what tokens not met before are made of, all at once."""
        words = list(new)
        self._hashes.update(zip(words, word_hashes(words).tolist(), strict=True))
        hashes, owner = ngram_hashes(words, self.min_n, self.max_n)
        places = (hashes % np.uint32(max(self.buckets, 1))).astype(np.int64) + len(self.tokens)
        ends = np.searchsorted(owner, np.arange(1, len(words)))
        for word, part in zip(words, np.split(places, ends) if words else [], strict=True):
            self._rows[word] = (*self._known.get(word, ()), *part.tolist())

    def example_inputs(self) -> tuple[Tensor]:
        generator = torch.Generator().manual_seed(0)
        size = len(self.tokens) + self.buckets
        return (torch.randint(Vocabulary.unknown_idx, size, (2, 32), generator=generator),)

    def preprocessing(self) -> dict[str, str]:
        return super().preprocessing() | {
            "input": "rows [batch, entries] of int64, one text a row, filled up with padding_idx: those of its words "
            "in the vocabulary, then vocabulary size + FastText's hash % buckets of n-grams",
            "word_ngrams": str(self.word_ngrams),
            "character_ngrams": f"{self.min_n} to {self.max_n}" if self.max_n else "none",
            "buckets": str(self.buckets),
        }


class TextRows(TextData):
    """Labelled texts as rows. Memory holds 4 bytes for each row of each text.

    word_ngrams, buckets, min_n, max_n: see `TextRowSpec`. The other arguments are those of `TextData`.
    """

    spec_class = TextRowSpec  # type: ignore[assignment]

    def __init__(
        self, word_ngrams: int = 1, buckets: int = 2_000_000, min_n: int = 0, max_n: int = 0, **common: Any
    ) -> None:
        super().__init__(**common)
        needed = word_ngrams > 1 or max_n > 0
        for name, value, least in (
            ("word_ngrams", word_ngrams, 1),
            ("buckets", buckets, int(needed)),
            ("min_n", min_n, int(max_n > 0)),
            ("max_n", max_n, 0),
        ):
            check_number(f"data.{name}", value, least)
        if max_n and max_n < min_n:
            raise UserError(f"data.max_n: found {max_n}, expected 0 or at least data.min_n ({min_n})")
        self.word_ngrams, self.buckets, self.min_n, self.max_n = word_ngrams, buckets if needed else 0, min_n, max_n

    def _build_spec(self, texts: list[str], class_names: tuple[str, ...]) -> TextRowSpec:
        base = super()._build_spec(texts, class_names)
        counts = self.labels("train").bincount(minlength=len(class_names))
        return TextRowSpec(
            base.class_names,
            base.tokenizer,
            base.tokens,
            base.max_length,
            tuple(counts.tolist()),
            self.word_ngrams,
            self.buckets,
            self.min_n,
            self.max_n,
        )


class ReviewRows(TextRows, Reviews):
    """`Reviews` as rows."""


class TSVRows(TextRows, TSV):
    """A `TSV` as rows."""
