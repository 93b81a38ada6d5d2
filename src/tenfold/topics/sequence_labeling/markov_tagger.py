"""The hidden Markov model as a tagger: everything is counted, after TnT (Brants 2000, arXiv:cs/0003055)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tenfold.errors import UserError
from tenfold.topics.sequence_labeling.crf import CRF
from tenfold.topics.sequence_labeling.decoders import build_decoder
from tenfold.topics.sequence_labeling.embedding import UNKNOWN


class MarkovTagger(nn.Module):
    r"""Emissions and transitions from counts, in the places of a network's and of its CRF's.

    What a token says of its tag is smoothed from the general to the particular: its shape, its last letters, itself
    (`columns`, by their numbers, the most general first),

    .. math:: p_c(t) = \frac{n(x_c, t) + m\, p_{c-1}(t)}{n(x_c) + m}, \qquad p_0(t) = p(t),

    so that a word which training does not have is judged by what it does share; letters are counted over words that
    occur at most `rare` times, which unseen ones are like. By Bayes' rule :math:`p(x \mid t) \propto p(t \mid x) /
    p(t)`, the emission. The transitions are counts, raised by `smoothing`; the first gold tag and the last count, too.

    `count` learns all this. What gradient descent does from there on, at a learning rate above 0, is to train the
    transitions by conditional likelihood.
    """

    def __init__(
        self,
        vocab_sizes: Sequence[int],
        tags: Sequence[str],
        scheme: str | None,
        columns: Sequence[int] = (-1, 1, 2, 3, 0),
        prior: float = 1.0,
        rare: int = 10,
        smoothing: float = 0.1,
    ) -> None:
        super().__init__()
        if not all(-len(vocab_sizes) <= column < len(vocab_sizes) for column in columns):
            raise UserError(
                f"model.network.columns: found {list(columns)}, expected numbers below {len(vocab_sizes)}, the columns "
                "that show a token"
            )
        self.columns = [column % len(vocab_sizes) for column in columns]
        self.prior, self.rare, self.smoothing = prior, rare, smoothing
        for place, column in enumerate(self.columns):
            self.register_buffer(f"counts{place}", torch.zeros(vocab_sizes[column], len(tags)))
        self.register_buffer("shares", torch.full((len(tags),), 1 / len(tags)))
        self.decoder: CRF = build_decoder("crf", tags, scheme)  # type: ignore[assignment]

    shares: Tensor

    def forward(self, inputs: Tensor) -> Tensor:
        said = self.shares
        for place, column in enumerate(self.columns):
            found = self.get_buffer(f"counts{place}")[inputs[..., column]]
            said = (found + self.prior * said) / (found.sum(-1, keepdim=True) + self.prior)
        return (said / self.shares).log()

    @torch.no_grad()
    def count(self, inputs: Tensor, tags: Tensor, lengths: Tensor) -> None:
        """Learn from sentences end to end: inputs `[tokens, width]`, tags `[tokens]`, lengths `[sentences]`."""
        num_tags = len(self.shares)
        totals = torch.bincount(tags, minlength=num_tags) + 1
        self.shares.copy_(totals / totals.sum())
        seldom = torch.bincount(inputs[:, 0])[inputs[:, 0]] <= self.rare
        for place, column in enumerate(self.columns):
            table = self.get_buffer(f"counts{place}")
            strings, theirs = inputs[:, column], tags
            if column:  # all but the word itself
                chosen = seldom | (inputs[:, 0] == UNKNOWN)
                strings, theirs = strings[chosen], tags[chosen]
            found = torch.bincount(strings * num_tags + theirs, minlength=table.numel())
            table.copy_(found.view_as(table))
            table[: UNKNOWN + 1] = 0  # what is unknown says nothing
        self._count_steps(tags, lengths)

    def _count_steps(self, tags: Tensor, lengths: Tensor) -> None:
        num_tags, ends = len(self.shares), lengths.cumsum(0) - 1
        inner = torch.ones(len(tags), dtype=torch.bool)
        inner[ends] = False
        steps = tags[:-1] * num_tags + tags[1:]
        moves = torch.bincount(steps[inner[:-1]], minlength=num_tags**2).view(num_tags, num_tags)
        stops = torch.bincount(tags[ends], minlength=num_tags)
        out = torch.cat([moves, stops.unsqueeze(1)], dim=1) + self.smoothing
        start = torch.bincount(tags[ends - lengths + 1], minlength=num_tags) + self.smoothing
        out = (out / out.sum(1, keepdim=True)).log()
        self.decoder.start.copy_((start / start.sum()).log())
        self.decoder.transitions.copy_(out[:, :-1])
        self.decoder.end.copy_(out[:, -1])
