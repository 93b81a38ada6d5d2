"""What prediction must know of tagged sequences."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from tenfold.config.spec import DataSpec
from tenfold.data.text.lines import lines_of
from tenfold.data.text.vocabulary import Vocabulary
from tenfold.topics.sequence_labeling.columns import COLUMNS, TOKENIZERS
from tenfold.topics.sequence_labeling.spans import OUTSIDE, split_tag

UNSEEN = "<unseen>"  # the type of gold tags that training does not have


@dataclass(frozen=True)
class TaggingSpec(DataSpec):
    """Tags, their scheme (None for plain labels), and what a token is shown as.

    unit: whose columns show a token, `word` or `character` (see `columns`); `vocabularies` has each one's strings.
    characters: the vocabulary of words' letters, the first `max_characters` of which are shown; empty for none.
    tokenizer: how a raw line becomes tokens in prediction.
    """

    provides = frozenset({"vocab_sizes", "num_characters", "tags", "scheme"})

    tags: tuple[str, ...]
    scheme: str | None
    unit: str
    tokenizer: str
    vocabularies: tuple[tuple[str, ...], ...]
    characters: tuple[str, ...]
    max_characters: int

    def network_arguments(self) -> dict[str, Any]:
        return {
            "vocab_sizes": [len(vocabulary) for vocabulary in self.vocabularies],
            "num_characters": len(self.characters),
            "tags": self.tags,
            "scheme": self.scheme,
        }

    @property
    def width(self) -> int:
        """Indices that a token is shown as: one a column, then its letters."""
        return len(self.vocabularies) + (self.max_characters if self.characters else 0)

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
    def _vocabularies(self) -> list[Vocabulary]:
        return [Vocabulary(tokens) for tokens in (*self.vocabularies, *([self.characters] if self.characters else []))]

    def encode(self, tokens: Sequence[str]) -> Tensor:
        """Indices of each token's columns and letters, `[tokens, width]`."""
        columns = COLUMNS[self.unit](tokens).values()
        indices = [vocabulary.encode(column) for vocabulary, column in zip(self._vocabularies, columns, strict=False)]
        shown = torch.tensor(indices, dtype=torch.int32).t().reshape(len(tokens), -1)
        if not self.characters:
            return shown
        return torch.cat([shown, torch.tensor([self._letters(token) for token in tokens], dtype=torch.int32)], dim=1)

    @cached_property
    def _letters(self) -> Callable[[str], list[int]]:
        letters = self._vocabularies[-1]

        @cache
        def indices(token: str) -> list[int]:
            found = letters.encode(token[: self.max_characters])
            return found + [Vocabulary.padding_idx] * (self.max_characters - len(found))

        return indices

    def encode_tags(self, tags: Iterable[str]) -> list[int]:
        """Indices into `gold_tags`."""
        return [self._tag_index[tag] if tag in self._tag_index else self._tag_index[self._unseen(tag)] for tag in tags]

    def _unseen(self, tag: str) -> str:
        return f"{split_tag(tag)[0]}-{UNSEEN}" if self.scheme else UNSEEN

    def read(self, sources: Sequence[str], batch_size: int) -> Iterator[tuple[list[str], Tensor]]:
        """Text files, a sequence a line, or `-` for standard input; yields lines and inputs `[batch, time, width]`."""
        lines = (line for source in sources for line in lines_of(source))
        while texts := list(islice(lines, batch_size)):
            encoded = [self.encode(TOKENIZERS[self.tokenizer](text)).long() for text in texts]
            yield texts, torch.nn.utils.rnn.pad_sequence(encoded, batch_first=True)

    def example_inputs(self) -> tuple[Tensor]:
        generator = torch.Generator().manual_seed(0)
        sizes = [len(v) for v in self.vocabularies] + [len(self.characters)] * (self.width - len(self.vocabularies))
        columns = [torch.randint(Vocabulary.unknown_idx, size, (2, 12), generator=generator) for size in sizes]
        return (torch.stack(columns, dim=2),)

    def preprocessing(self) -> dict[str, str]:
        return {
            "input": "indices [batch, time, width] of int64, one sequence a row, filled up with zeros",
            "columns": f"each token as {', '.join(COLUMNS[self.unit](['a']))}, then {self.max_characters} letters"
            if self.characters
            else f"each token as {', '.join(COLUMNS[self.unit](['a']))}",
            "unknown_idx": f"{Vocabulary.unknown_idx}, for what a vocabulary lacks",
            "vocabularies": json.dumps([*self.vocabularies, self.characters], ensure_ascii=False),
            "tags": json.dumps(self.tags, ensure_ascii=False),
            "scheme": str(self.scheme),
        }
