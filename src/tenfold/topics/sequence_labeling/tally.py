"""What an evaluation counts, batch by batch, in tensors that ranks can add up."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tenfold.topics.sequence_labeling.spans import Score, SpanCounts, extract
from tenfold.topics.sequence_labeling.spec import TaggingSpec


class Example(NamedTuple):
    """A sentence with what was found in it and what is there."""

    tokens: list[str]
    guessed: list[str]
    gold: list[str]


class Tally:
    """Counts of tokens and spans.

    `confusions` of tokens, then of unseen tokens alone: [2, gold tags, tags found]; `counts` of spans by type,
    correct, found and gold: [types, 3].
    """

    def __init__(self, spec: TaggingSpec, num_examples: int) -> None:
        self.spec, self.num_examples = spec, num_examples
        self.confusions = torch.zeros(2, len(spec.gold_tags), len(spec.tags), dtype=torch.long)
        self.counts = torch.zeros(len(spec.types), 3, dtype=torch.long)
        self.examples: list[Example] = []

    def add(self, tokens: Tensor, guessed: Tensor, gold: Tensor, unseen: Tensor) -> None:
        """All [batch, time]: indices of the first column, tags found and tags that are there (negative on padding)."""
        inside = gold >= 0
        cells = gold[inside] * len(self.spec.tags) + guessed[inside]
        for part, chosen in enumerate((cells, cells[unseen[inside]])):
            self.confusions[part].view(-1).add_(torch.bincount(chosen, minlength=self.confusions[part].numel()))
        if not self.spec.scheme and len(self.examples) >= self.num_examples:
            return
        spans = SpanCounts()
        for row in range(len(gold)):
            here = inside[row]
            names = [self.spec.tags[k] for k in guessed[row][here].tolist()]
            there = [self.spec.gold_tags[k] for k in gold[row][here].tolist()]
            if self.spec.scheme:
                spans.add(extract(names), extract(there))
            if len(self.examples) < self.num_examples:
                words = [self.spec.vocabularies[0][k] for k in tokens[row][here].tolist()]
                self.examples.append(Example(words, names, there))
        if self.spec.scheme:
            columns = (spans.correct, spans.found, spans.gold)
            self.counts += torch.tensor([[column[kind] for column in columns] for kind in self.spec.types])

    def span_score(self, kind: str | None = None) -> Score:
        """Of one type, or over all."""
        rows = self.counts if kind is None else self.counts[self.spec.types.index(kind)].unsqueeze(0)
        return Score.of(*rows.sum(0).tolist())

    def scores(self) -> dict[str, float]:
        """Token accuracy, that of unseen tokens where there are any, and span scores where tags mark spans."""
        found = {}
        for name, table in zip(("accuracy", "unseen_accuracy"), self.confusions, strict=True):
            if table.sum():
                found[name] = float(table[: len(self.spec.tags)].diagonal().sum() / table.sum())
        if self.spec.scheme:
            precision, recall, f1, _ = self.span_score()
            found |= {"precision": precision, "recall": recall, "f1": f1}
        return found
