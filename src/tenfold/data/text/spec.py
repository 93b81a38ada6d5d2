"""What prediction must know of labelled texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from tenfold.config.spec import DataSpec
from tenfold.data.text.lines import lines_of
from tenfold.data.text.ragged import RaggedTexts
from tenfold.data.text.tokenizers import TOKENIZERS
from tenfold.data.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class TextSpec(DataSpec):
    """The classes, the name of the tokenizer, the tokens by index, and how many tokens of a text are kept."""

    provides = frozenset({"vocab_size", "padding_idx", "num_classes"})

    class_names: tuple[str, ...]
    tokenizer: str
    tokens: tuple[str, ...]
    max_length: int

    def network_arguments(self) -> dict[str, Any]:
        return {
            "vocab_size": len(self.tokens),
            "padding_idx": Vocabulary.padding_idx,
            "num_classes": len(self.class_names),
        }

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self.tokens)

    def encode(self, text: str) -> list[int]:
        """Token indices, at least one: a text of no tokens is one unknown token, so that a mean over it exists."""
        indices = self._vocabulary.encode(TOKENIZERS[self.tokenizer](text)[: self.max_length])
        return indices or [Vocabulary.unknown_idx]

    def read(self, sources: Sequence[str], batch_size: int) -> Iterator[tuple[list[str], Tensor]]:
        """Text files, one text a line, or `-` for standard input; yields the lines and their tokens `[batch, time]`."""
        lines = (line for source in sources for line in lines_of(source))
        while texts := list(islice(lines, batch_size)):
            yield texts, self._batch(texts)

    def _batch(self, texts: Iterable[str]) -> Tensor:
        encoded = [self.encode(text) for text in texts]
        unlabelled = torch.zeros(len(encoded), dtype=torch.long)
        return RaggedTexts(encoded, unlabelled).fetch(torch.arange(len(encoded))).inputs

    def example_inputs(self) -> tuple[Tensor]:
        generator = torch.Generator().manual_seed(0)
        return (
            torch.randint(Vocabulary.unknown_idx, len(self.tokens), (2, min(self.max_length, 32)), generator=generator),
        )

    def free_dimensions(self) -> tuple[tuple[str, ...], ...]:
        return (("batch", "time"),)

    def preprocessing(self) -> dict[str, str]:
        return {
            "input": "token indices [batch, time] of int64, one text a row, filled up with padding_idx",
            "tokenizer": f"{self.tokenizer}: {(TOKENIZERS[self.tokenizer].__doc__ or '').splitlines()[0]}",
            "max_length": f"the first {self.max_length} tokens of a text are kept",
            "padding_idx": str(Vocabulary.padding_idx),
            "unknown_idx": f"{Vocabulary.unknown_idx}, for a token that the vocabulary lacks",
            "vocabulary": json.dumps(self.tokens, ensure_ascii=False),
            "class_names": json.dumps(self.class_names, ensure_ascii=False),
        }
