"""Tokens and their indices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, repeat

PADDING, UNKNOWN = "<pad>", "<unk>"  # at 0 and 1 in every vocabulary


class Vocabulary:
    """Tokens by index: padding at 0, what is unknown at 1, then `tokens[2:]`."""

    padding_idx, unknown_idx = 0, 1

    def __init__(self, tokens: Sequence[str]) -> None:
        if tuple(tokens[:2]) != (PADDING, UNKNOWN):
            raise ValueError(f"a vocabulary starts with {PADDING}, {UNKNOWN}; found {list(tokens[:2])}")
        self.tokens = tuple(tokens)
        self._index = {token: index for index, token in enumerate(self.tokens)}

    @classmethod
    def build(cls, texts: Iterable[Iterable[str]], min_count: int = 1, max_size: int | None = None) -> Vocabulary:
        """The tokens that occur `min_count` times or more, most frequent first, ties in order of appearance.

        At most `max_size` of them, the two reserved ones counted.
        """
        counts = Counter(chain.from_iterable(texts))
        kept = [
            token for token, count in counts.most_common() if count >= min_count and token not in (PADDING, UNKNOWN)
        ]
        return cls([PADDING, UNKNOWN, *kept][:max_size])

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, tokens: Iterable[str]) -> list[int]:
        return list(map(self._index.get, tokens, repeat(self.unknown_idx)))
