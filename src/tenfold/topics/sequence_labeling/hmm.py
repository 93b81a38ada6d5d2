"""A hidden Markov model over symbols: supervised counts, expectation–maximisation, Viterbi (Rabiner 1989)."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tenfold.topics.sequence_labeling import chains, viterbi
from tenfold.topics.sequence_labeling.layout import Layout

NUMBERS_AT_ONCE = 130_000  # tokens times tags of a batch: with fewer, steps cost more than products


class Counts(NamedTuple):
    """How often each tag begins a sequence [tags], follows another [from, to], and emits a symbol [symbols, tags]."""

    start: Tensor
    transitions: Tensor
    emissions: Tensor

    def __add__(self, other: "Counts") -> "Counts":  # type: ignore[override]
        return Counts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class HMM(nn.Module):
    r""":math:`p(x, y) = \pi_{y_1} \prod_t B_{x_t, y_t} \prod_{t>1} A_{y_{t-1}, y_t}`, held as logarithms.

    `symbols` [batch, length] are below `num_symbols` wherever `mask` [batch, length] is true. Parameters begin
    random, near to uniform: with exactly uniform ones, expectation–maximisation has no direction to go.
    """

    start: Tensor
    transitions: Tensor
    emissions: Tensor

    def __init__(self, num_tags: int, num_symbols: int) -> None:
        super().__init__()
        for name, shape in Counts((num_tags,), (num_tags, num_tags), (num_symbols, num_tags))._asdict().items():  # type: ignore[arg-type]
            self.register_buffer(name, torch.empty(shape))
        self.maximise(Counts(*(1 + torch.rand_like(buffer) for buffer in self.buffers())))

    def log_likelihood(self, symbols: Tensor, mask: Tensor) -> Tensor:
        r""":math:`\log p(x)` [batch]."""
        return self._expect(symbols, mask).log_partition

    def marginals(self, symbols: Tensor, mask: Tensor) -> Tensor:
        r""":math:`p(y_t \mid x)` [batch, length, tags], zero where masked."""
        return self._expect(symbols, mask).marginals

    def decode(self, symbols: Tensor, mask: Tensor) -> Tensor:
        """The most probable tags [batch, length] by Viterbi; -1 where masked."""
        emissions = self.emissions[symbols.where(mask, 0)]
        return viterbi.best_path(emissions, mask, self.start, self.transitions, torch.zeros_like(self.start))[0]

    def count(self, symbols: Tensor, tags: Tensor, mask: Tensor) -> Counts:
        """Count what tagged sequences do."""
        place = Layout.of(mask)
        ones = nn.functional.one_hot(place.gather(tags), len(self.start)).to(self.start)
        pairs = ones[place.previous].t() @ ones[place.first :]
        return Counts(ones[: place.first].sum(0), pairs, self._emitted(place.gather(symbols), ones))

    def expect(self, symbols: Tensor, mask: Tensor) -> tuple[Tensor, Counts]:
        """The E step: log-likelihood of the batch and its expected counts."""
        log_likelihood, marginals, pairs, ends = self._expect(symbols, mask)
        marginals = marginals.flatten(0, 1)
        start, emissions = marginals[ends[0]].sum(0), self._emitted(symbols.where(mask, 0).flatten(), marginals)
        return log_likelihood.sum(), Counts(start, pairs, emissions)

    def maximise(self, counts: Counts, smoothing: float = 0.0) -> None:
        """The M step: probabilities in proportion to the counts, each raised by `smoothing`; uniform without any."""
        for name, count, dim in zip(counts._fields, counts, (0, 1, 0), strict=True):
            total = count.sum(dim, keepdim=True) + smoothing * count.shape[dim]
            share = torch.where(total > 0, (count + smoothing) / total, 1 / count.shape[dim])
            getattr(self, name).copy_(share.log())

    def pack(self, sequences: Iterable[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Batches of such a size that what is worked on stays near the processor."""
        return pack(sequences, tokens=NUMBERS_AT_ONCE // len(self.start))

    def fit(
        self,
        batches: Sequence[tuple[Tensor, Tensor]],
        max_iterations: int = 100,
        tolerance: float = 1e-2,
        smoothing: float = 0.0,
    ) -> list[float]:
        """Expectation–maximisation on batches of symbols and masks, until the log-likelihood gains too little.

        Gives the log-likelihood before each M step.
        """
        history: list[float] = []
        for _ in range(max_iterations):
            likelihoods, counts = zip(*(self.expect(*batch) for batch in batches), strict=True)
            history.append(float(sum(likelihoods)))
            self.maximise(sum(counts[1:], counts[0]), smoothing)
            if len(history) > 1 and history[-1] - history[-2] < tolerance:
                break
        return history

    def _expect(self, symbols: Tensor, mask: Tensor) -> chains.Expectations:
        scores = chains.Scores(self.emissions, self.start, self.transitions, torch.zeros_like(self.start))
        return chains.expectations(symbols, mask, None, scores, summed=True)

    def _emitted(self, symbols: Tensor, weights: Tensor) -> Tensor:
        return torch.zeros_like(self.emissions).index_add_(0, symbols, weights)


def pack(sequences: Iterable[Tensor], tokens: int = 8_192) -> list[tuple[Tensor, Tensor]]:
    """Sequences of symbols as batches of like lengths, at most `tokens` padded positions each (or one sequence)."""
    ordered = sorted(sequences, key=len)
    batches, begin = [], 0
    for i, sequence in enumerate(ordered):
        if i > begin and len(sequence) * (i + 1 - begin) > tokens:
            batches.append(pad(ordered[begin:i]))
            begin = i
    return [*batches, pad(ordered[begin:])] if ordered else []


def pad(sequences: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """One batch of symbols [batch, length], and its mask."""
    symbols = nn.utils.rnn.pad_sequence(list(sequences), batch_first=True)
    lengths = torch.tensor([len(sequence) for sequence in sequences]).unsqueeze(1)
    return symbols, torch.arange(symbols.shape[1]) < lengths
