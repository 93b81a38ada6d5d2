"""A supervised HMM as a tagger of words: counts, a lexicon for unseen words, Viterbi. The model to beat."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch

from tenfold.topics.sequence_labeling.hmm import HMM, Counts, pad
from tenfold.topics.sequence_labeling.lexicon import Lexicon


class MarkovTagger:
    """Learns in one pass over tagged sentences; `smoothing` is added to the count of each first tag and transition."""

    def __init__(
        self, sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str]], smoothing: float = 0.1
    ) -> None:
        self.tags = sorted({tag for row in tags for tag in row})
        index = {tag: k for k, tag in enumerate(self.tags)}
        rows = [[index[tag] for tag in row] for row in tags]
        words = (
            (w, k) for sentence, row in zip(sentences, rows, strict=True) for w, k in zip(sentence, row, strict=True)
        )
        self.lexicon = Lexicon(words, len(self.tags))
        self.hmm = HMM(len(self.tags), len(self.lexicon))
        start, moves = torch.zeros(len(self.tags)), torch.zeros(len(self.tags) ** 2)
        firsts = torch.tensor([row[0] for row in rows if row])
        steps = torch.tensor([a * len(self.tags) + b for row in rows for a, b in itertools.pairwise(row)])
        start += torch.bincount(firsts, minlength=len(start))
        moves += torch.bincount(steps.long(), minlength=len(moves))
        self.hmm.maximise(Counts(start, moves.view(len(start), -1), torch.zeros_like(self.hmm.emissions)), smoothing)
        self.hmm.emissions.copy_(self.lexicon.log_emissions)

    def tag(self, sentences: Sequence[Sequence[str]], batch_size: int = 256) -> list[list[str]]:
        """The most probable tags of each sentence."""
        order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
        tagged: list[list[str]] = [[] for _ in sentences]
        for begin in range(0, len(order), batch_size):
            chosen = order[begin : begin + batch_size]
            symbols, mask = pad([torch.tensor(self.lexicon.encode(sentences[i]), dtype=torch.long) for i in chosen])
            for i, row in zip(chosen, self.hmm.decode(symbols, mask), strict=True):
                tagged[i] = [self.tags[k] for k in row[row >= 0].tolist()]
        return tagged
