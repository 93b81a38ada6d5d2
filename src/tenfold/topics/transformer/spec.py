"""What prediction must know of texts: their tokens by index, and how a text becomes tokens and comes back."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tenfold.config.spec import DataSpec
from tenfold.data.text.lines import lines_of
from tenfold.data.text.vocabulary import PADDING, UNKNOWN, Vocabulary
from tenfold.errors import UserError

START, END = "<start>", "<end>"
SIGNS = (PADDING, UNKNOWN, START, END)  # at 0 to 3 of a translator's vocabularies
START_IDX, END_IDX = 2, 3

Unit = Literal["characters", "words"]
#: How a text is cut, and the sign that stands between its tokens: joined with it, they are the text again.
UNITS: dict[str, tuple[Callable[[str], list[str]], str]] = {"characters": (list, ""), "words": (str.split, " ")}


def vocabulary(texts: Iterable[Iterable[str]], signs: Sequence[str], min_count: int) -> tuple[str, ...]:
    """`signs`, then every token that occurs `min_count` times or more, most frequent first."""
    counts = Counter(token for text in texts for token in text)
    kept = (token for token, count in counts.most_common() if count >= min_count)
    return (*signs, *(token for token in kept if token not in signs))


@dataclass(frozen=True)
class PairSpec(DataSpec):
    """The tokens of source and target by index, what a token is, and the most tokens of a source and of a target."""

    provides = frozenset({"source_vocab_size", "target_vocab_size", "padding_idx"})

    source_tokens: tuple[str, ...]
    target_tokens: tuple[str, ...]
    unit: str
    max_source_length: int
    max_target_length: int

    def network_arguments(self) -> dict[str, Any]:
        return {
            "source_vocab_size": len(self.source_tokens),
            "target_vocab_size": len(self.target_tokens),
            "padding_idx": Vocabulary.padding_idx,
        }

    @cached_property
    def _vocabularies(self) -> tuple[Vocabulary, Vocabulary]:
        return Vocabulary(self.source_tokens), Vocabulary(self.target_tokens)

    def encode_source(self, text: str) -> list[int]:
        """The tokens and an end sign, so that no source is empty. Raises `UserError` where there are too many."""
        tokens = UNITS[self.unit][0](text)
        if len(tokens) > self.max_source_length:
            shown = text if len(text) <= 40 else f"{text[:39]}…"
            raise UserError(
                f"input: {shown!r} has {len(tokens)} {self.unit}, expected at most {self.max_source_length} "
                "(data.max_length when the model was trained)"
            )
        return [*self._indices(tokens, 0), END_IDX]

    def encode_target(self, text: str) -> list[int]:
        return [START_IDX, *self._indices(UNITS[self.unit][0](text), 1), END_IDX]

    def _indices(self, tokens: Iterable[str], side: int) -> list[int]:
        """Of the source's tokens (side 0) or the target's (1); a word that looks like a sign is unknown."""
        indices = self._vocabularies[side].encode(tokens)
        return [index if index >= len(SIGNS) else Vocabulary.unknown_idx for index in indices]

    def decode(self, tokens: Tensor, vocabulary: Sequence[str] | None = None) -> list[str]:
        """The texts of tokens `[batch, time]`, target tokens where no vocabulary is given, each up to its end sign."""
        known, joint = vocabulary or self.target_tokens, UNITS[self.unit][1]
        rows = [row[: row.index(END_IDX)] if END_IDX in row else row for row in tokens.tolist()]
        return [joint.join(known[index] for index in row if index != Vocabulary.padding_idx) for row in rows]

    def decode_source(self, tokens: Tensor) -> list[str]:
        return self.decode(tokens, self.source_tokens)

    def unknown(self, text: str) -> list[str]:
        """The tokens of a source that the vocabulary lacks, each once."""
        tokens = UNITS[self.unit][0](text)
        pairs = zip(tokens, self._indices(tokens, 0), strict=True)
        return list(dict.fromkeys(token for token, index in pairs if index == Vocabulary.unknown_idx))

    def read(self, sources: Sequence[str], batch_size: int) -> Iterator[tuple[list[str], Tensor]]:
        """Text files, one source a line, or `-` for standard input; yields the lines and their tokens
        `[batch, time]`."""
        lines = (line for source in sources for line in lines_of(source))
        while texts := list(islice(lines, batch_size)):
            yield texts, pad_sequence([torch.tensor(self.encode_source(text)) for text in texts], batch_first=True)

    def example_inputs(self) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(0)
        sizes = [(len(self.source_tokens), 9), (len(self.target_tokens), 7)]
        source, target = (torch.randint(1, size, (2, time), generator=generator) for size, time in sizes)
        return source, target

    def free_dimensions(self) -> tuple[tuple[str, ...], ...]:
        return (("batch", "source_time"), ("batch", "target_time"))

    def preprocessing(self) -> dict[str, str]:
        return {
            "input": "source [batch, source_time]: token indices and an end sign; target [batch, target_time]: a start "
            "sign and the tokens so far; int64, filled up at the end with padding_idx",
            "output": "logits of the target token after each",
            "unit": f"{self.unit}: joined with {UNITS[self.unit][1]!r} they are the text",
            "signs": f"padding_idx {Vocabulary.padding_idx}, unknown {Vocabulary.unknown_idx}, start {START_IDX}, "
            f"end {END_IDX}",
            "max_source_length": str(self.max_source_length),
            "source_vocabulary": json.dumps(self.source_tokens, ensure_ascii=False),
            "target_vocabulary": json.dumps(self.target_tokens, ensure_ascii=False),
        }


@dataclass(frozen=True)
class CharacterSpec(DataSpec):
    """The characters of running text by index, and how many a training block holds."""

    provides = frozenset({"vocab_size", "window"})

    characters: tuple[str, ...]
    block: int

    def network_arguments(self) -> dict[str, Any]:
        return {"vocab_size": len(self.characters), "window": self.block}

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self.characters)

    def encode(self, text: str) -> list[int]:
        return self._vocabulary.encode(text)

    def encode_prompt(self, text: str) -> list[int]:
        """Raises `UserError` where a character is unknown."""
        indices = self.encode(text)
        if Vocabulary.unknown_idx in indices:
            at = indices.index(Vocabulary.unknown_idx)
            raise UserError(
                f"input: character {at + 1} of {text[:40]!r}, {text[at]!r}, is none of the "
                f"{len(self.characters) - Vocabulary.unknown_idx - 1} that the model has learned"
            )
        return indices

    def decode(self, tokens: Tensor) -> list[str]:
        """The texts of tokens `[batch, time]`."""
        return ["".join(self.characters[index] for index in row) for row in tokens.tolist()]

    def example_inputs(self) -> tuple[Tensor]:
        generator = torch.Generator().manual_seed(0)
        return (torch.randint(Vocabulary.unknown_idx, len(self.characters), (2, 32), generator=generator),)

    def free_dimensions(self) -> tuple[tuple[str, ...], ...]:
        return (("batch", "time"),)

    def preprocessing(self) -> dict[str, str]:
        return {
            "input": "character indices [batch, time] of int64",
            "output": "logits of the character after each",
            "unknown_idx": f"{Vocabulary.unknown_idx}, for a character that the vocabulary lacks",
            "vocabulary": json.dumps(self.characters, ensure_ascii=False),
        }
