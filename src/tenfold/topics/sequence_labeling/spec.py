"""What prediction must know of tagged sequences."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, repeat
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tenfold.config.spec import DataSpec
from tenfold.data.text.lines import lines_of
from tenfold.data.text.vocabulary import Vocabulary
from tenfold.topics.sequence_labeling.columns import TOKENIZERS, columns_of
from tenfold.topics.sequence_labeling.spans import OUTSIDE, split_tag

UNSEEN = "<unseen>"  # the type of gold tags that training does not have
MOST_TOKENS = 65_536  # padded tokens that prediction holds in one batch, or one sequence


@dataclass(frozen=True)
class TaggingSpec(DataSpec):
    """Tags, their scheme (None for plain labels), and what a token is shown as.

    unit: whose columns show a token, `word`, `character` or `role` (see `columns`); `vocabularies` has each one's
        strings.
    characters: the vocabulary of words' letters, the first `max_characters` of which are shown; empty for none.
    tokenizer: how a raw line becomes tokens in prediction.
    vector_words: the vocabulary of pretrained vectors of `vector_dim` numbers; empty for none.
    lexicon: the words of training that columns speak of (see `lexicon`); empty for no such columns.
    """

    provides = frozenset({"vocab_sizes", "num_characters", "num_vectors", "vector_dim", "tags", "scheme"})

    tags: tuple[str, ...]
    scheme: str | None
    unit: str
    tokenizer: str
    vocabularies: tuple[tuple[str, ...], ...]
    characters: tuple[str, ...]
    max_characters: int
    vector_words: tuple[str, ...] = ()
    vector_dim: int = 0
    lexicon: tuple[str, ...] = ()

    def network_arguments(self) -> dict[str, Any]:
        return {
            "vocab_sizes": [len(vocabulary) for vocabulary in self.vocabularies],
            "num_characters": len(self.characters),
            "num_vectors": len(self.vector_words),
            "vector_dim": self.vector_dim,
            "tags": self.tags,
            "scheme": self.scheme,
        }

    @property
    def width(self) -> int:
        """Indices that a token is shown as: one a column, one of its vector, then its letters."""
        return len(self.vocabularies) + bool(self.vector_words) + (self.max_characters if self.characters else 0)

    @property
    def types(self) -> tuple[str, ...]:
        """The kinds of spans, with the one that stands for all that training does not have."""
        return (*sorted({split_tag(tag)[1] for tag in self.tags if tag != OUTSIDE}), UNSEEN) if self.scheme else ()

    @cached_property
    def gold_tags(self) -> tuple[str, ...]:
        """The tags, and those that stand for gold tags which training does not have."""
        if not self.scheme:
            return (*self.tags, UNSEEN)
        outside = [OUTSIDE] if OUTSIDE not in self.tags else []
        return (*self.tags, *outside, *(f"{prefix}-{UNSEEN}" for prefix in "BIES"))

    @cached_property
    def _tag_index(self) -> dict[str, int]:
        return {tag: index for index, tag in enumerate(self.gold_tags)}

    @cached_property
    def _columns(self) -> list[Vocabulary]:
        return [Vocabulary(tokens) for tokens in self.vocabularies]

    @cached_property
    def _vectors(self) -> Vocabulary:
        return Vocabulary(self.vector_words)

    @cached_property
    def _letters(self) -> Vocabulary:
        return Vocabulary(self.characters)

    @cached_property
    def _known(self) -> Collection[str] | None:
        return frozenset(self.lexicon) or None

    def encode(self, *sentences: Sequence[str], known: Iterable[Collection[str] | None] | None = None) -> Tensor:
        """Indices of each token's columns, vector and letters, of all sentences end to end: `[tokens, width]`.

        `known` has a lexicon for each sentence, in the place of the spec's.
        """
        strings: dict[str, list[str]] = defaultdict(list)
        for tokens, lexicon in zip(sentences, repeat(self._known) if known is None else known, strict=False):
            for name, column in columns_of(self.unit, tokens, lexicon).items():
                strings[name] += column
        tokens = list(chain.from_iterable(sentences))
        shown = torch.zeros(len(tokens), self.width, dtype=torch.int32)
        for place, (vocabulary, column) in enumerate(zip(self._columns, strings.values(), strict=True)):
            shown[:, place] = _indices(vocabulary, column)
        if self.vector_words:
            shown[:, len(self._columns)] = self._vector_indices(tokens)
        if self.characters:
            shown[:, -self.max_characters :] = self._spelt(tokens)
        return shown

    def _vector_indices(self, tokens: Sequence[str]) -> Tensor:
        """As it stands, else in lower case."""
        exact = _indices(self._vectors, tokens)
        return torch.where(
            exact != Vocabulary.unknown_idx, exact, _indices(self._vectors, [token.lower() for token in tokens])
        )

    def _spelt(self, tokens: Sequence[str]) -> Tensor:
        """The letters of each distinct word once, `[tokens, max_characters]`."""
        distinct: dict[str, int] = {}
        which = [distinct.setdefault(token, len(distinct)) for token in tokens]
        spelt = torch.zeros(len(distinct), self.max_characters, dtype=torch.int32)
        for row, token in enumerate(distinct):
            found = self._letters.encode(token[: self.max_characters])
            spelt[row, : len(found)] = torch.tensor(found, dtype=torch.int32)
        return spelt[torch.tensor(which, dtype=torch.long)]

    def encode_tags(self, tags: Iterable[str]) -> list[int]:
        """Indices into `gold_tags`."""
        return [self._tag_index[tag] if tag in self._tag_index else self._tag_index[self._unseen(tag)] for tag in tags]

    def _unseen(self, tag: str) -> str:
        return f"{split_tag(tag)[0]}-{UNSEEN}" if self.scheme else UNSEEN

    def tokenize(self, text: str) -> list[str]:
        """A raw line as tokens."""
        return TOKENIZERS[self.tokenizer](text)

    def read(self, sources: Sequence[str], batch_size: int) -> Iterator[tuple[list[str], Tensor]]:
        """Text files, a sequence a line, or `-` for standard input; yields lines and inputs `[batch, time, width]`."""
        texts: list[str] = []
        encoded: list[Tensor] = []
        longest = 0
        for text in (line for source in sources for line in lines_of(source)):
            tokens = self.tokenize(text)
            if texts and (len(texts) == batch_size or max(longest, len(tokens)) * (len(texts) + 1) > MOST_TOKENS):
                yield texts, _padded(encoded, longest)
                texts, encoded, longest = [], [], 0
            texts.append(text)
            encoded.append(self.encode(tokens).long())
            longest = max(longest, len(tokens))
        if texts:
            yield texts, _padded(encoded, longest)

    def example_inputs(self) -> tuple[Tensor]:
        generator = torch.Generator().manual_seed(0)
        sizes = [len(vocabulary) for vocabulary in self.vocabularies]
        sizes += [len(self.vector_words)] * bool(self.vector_words)
        sizes += [len(self.characters)] * (self.width - len(sizes))
        columns = [torch.randint(Vocabulary.unknown_idx, size, (2, 12), generator=generator) for size in sizes]
        return (torch.stack(columns, dim=2),)

    def preprocessing(self) -> dict[str, str]:
        shown = list(columns_of(self.unit, ["a"], self._known)) + ["vector"] * bool(self.vector_words)
        letters = f", then {self.max_characters} letters" if self.characters else ""
        return {
            "input": "indices [batch, time, width] of int64, one sequence a row, filled up with zeros",
            "columns": f"each token as {', '.join(shown)}{letters}",
            "unknown_idx": f"{Vocabulary.unknown_idx}, for what a vocabulary lacks",
            "vocabularies": json.dumps([*self.vocabularies, self.vector_words, self.characters], ensure_ascii=False),
            "lexicon": json.dumps(self.lexicon, ensure_ascii=False),
            "tags": json.dumps(self.tags, ensure_ascii=False),
            "scheme": str(self.scheme),
        }


def _indices(vocabulary: Vocabulary, strings: Sequence[str]) -> Tensor:
    return torch.from_numpy(np.array(vocabulary.encode(strings), dtype=np.int32))


def _padded(encoded: Sequence[Tensor], longest: int) -> Tensor:
    padded = torch.zeros(len(encoded), longest, encoded[0].shape[1], dtype=torch.long)
    for row, tokens in zip(padded, encoded, strict=True):
        row[: len(tokens)] = tokens
    return padded
