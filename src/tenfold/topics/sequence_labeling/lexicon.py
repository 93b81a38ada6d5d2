"""What a word says about its tag, for words seen and unseen: the emissions of a supervised HMM tagger."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

Ending = tuple[str, str]  # a shape and a word's last letters


class Lexicon:
    r"""Symbols for words, and :math:`p(w \mid t)` for each, after TnT (Brants 2000).

    A word known from training is a symbol of its own. Any other is the symbol of the longest ending, of up to
    `longest` letters, that it shares with a training word of its shape that occurs at most `rare` times. The tags of
    an ending are smoothed by those of the ending one letter shorter, :math:`p(t \mid s) \propto \hat p(t \mid s) +
    \theta\, p(t \mid s')`, where :math:`\theta` is the standard deviation of the tags' shares; the tags of a known
    word by `prior` more occurrences, spread as its ending's are. Bayes' rule turns these into :math:`p(w \mid t)
    \propto p(t \mid w)\, p(w) / p(t)`; all unseen words together weigh as one occurrence.

    `log_emissions` is [symbols, tags].
    """

    def __init__(
        self, words: Iterable[tuple[str, int]], num_tags: int, longest: int = 4, rare: int = 10, prior: float = 1.0
    ) -> None:
        self.num_tags, self.longest = num_tags, longest
        counts: dict[str, Counter[int]] = defaultdict(Counter)
        for word, tag in words:
            counts[word][tag] += 1
        of_words = self._table(counts)
        endings = self._smoothed_endings({w: c for w, c in counts.items() if c.total() <= rare}, of_words.sum(0))
        self.symbols = {word: index for index, word in enumerate(counts)}
        self.endings = {ending: len(counts) + index for index, ending in enumerate(endings)}

        shares = torch.stack(list(endings.values()))
        nearest = torch.tensor([self._ending_symbol(word) for word in counts], dtype=torch.long) - len(counts)
        totals = of_words.sum(1, keepdim=True)
        known = (of_words + prior * shares[nearest]) / (totals + prior) * totals
        tag_shares = (of_words.sum(0) + 1) / (of_words.sum() + num_tags)
        self.log_emissions = (torch.cat([known, shares]) / (totals.sum() + 1) / tag_shares).log().float()

    def __len__(self) -> int:
        return len(self.symbols) + len(self.endings)

    def encode(self, words: Iterable[str]) -> list[int]:
        """The symbol of each word."""
        return [self.symbols[word] if word in self.symbols else self._ending_symbol(word) for word in words]

    def _ending_symbol(self, word: str) -> int:
        return next(self.endings[ending] for ending in reversed(self._endings_of(word)) if ending in self.endings)

    def _endings_of(self, word: str) -> list[Ending]:
        """From the most general to the longest: anything, the shape, the shape with one letter, two, ..."""
        shape = shape_of(word)
        letters = range(min(self.longest, len(word)) + 1)
        return [("", ""), *((shape, word[len(word) - n :].lower()) for n in letters)]

    def _table(self, counts: Mapping[str, Counter[int]]) -> Tensor:
        table = torch.zeros(len(counts), self.num_tags, dtype=torch.float64)
        for row, tags in zip(table, counts.values(), strict=True):
            row[list(tags)] = torch.tensor(list(tags.values()), dtype=torch.float64)
        return table

    def _smoothed_endings(self, rare_words: Mapping[str, Counter[int]], tag_counts: Tensor) -> dict[Ending, Tensor]:
        """The tags' shares for each ending; a shorter ending stands before the longer ones that it smooths."""
        counts: dict[Ending, Counter[int]] = defaultdict(Counter)
        for word, tags in rare_words.items():
            for ending in self._endings_of(word):
                counts[ending].update(tags)
        unconditional = (tag_counts + 1) / (tag_counts.sum() + self.num_tags)
        theta = unconditional.std()
        shares: dict[Ending, Tensor] = {("", ""): unconditional}
        table = self._table({str(i): tags for i, tags in enumerate(counts.values())})
        for row, ending in sorted(zip(table, counts, strict=True), key=lambda pair: _size(pair[1])):
            shorter = shares.get(_shorter(ending), unconditional)
            shares[ending] = (row / row.sum() + theta * shorter) / (1 + theta)
        return shares


def shape_of(word: str) -> str:
    """Digits, capitals, or neither, as far as they tell tags apart."""
    if any(letter.isdigit() for letter in word):
        return "digits"
    if word[:1].isupper():
        return "capitals" if word.isupper() and len(word) > 1 else "capital"
    return "other" if any(letter.isalpha() for letter in word) else "signs"


def _size(ending: Ending) -> tuple[bool, int]:
    return bool(ending[0]), len(ending[1])


def _shorter(ending: Ending) -> Ending:
    shape, letters = ending
    return (shape, letters[1:]) if letters else ("", "")
