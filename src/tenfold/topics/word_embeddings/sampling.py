"""Which words are dropped, and which are drawn as noise (Mikolov et al. 2013, arXiv 1310.4546)."""

import torch
from torch import Tensor


def keep_probability(counts: Tensor, threshold: float) -> Tensor:
    r"""Chance :math:`p(w) = \min(1, \sqrt{t / f(w)} + t / f(w))` that an occurrence of a word is kept, as word2vec.c
    has it.

    `counts` [words] are occurrences, :math:`f` their share, :math:`t` the threshold; 0 keeps every word. Returns
    [words], float64.
    """
    counts = counts.double()
    if threshold <= 0:
        return torch.ones_like(counts)
    ratio = threshold * counts.sum() / counts
    return (ratio.sqrt() + ratio).clamp_(max=1)


def noise_probability(counts: Tensor, power: float = 0.75) -> Tensor:
    r"""Noise distribution :math:`P_n(w) \propto \mathrm{count}(w)^{3/4}`, [words], float64."""
    weight = counts.double().pow(power)
    return weight / weight.sum()


class NoiseSampler:
    """Draws words from the noise distribution by inverting its cumulative sum.

    A guide says for each of `len(guide)` equal parts of [0, 1) which word begins it (Chen and Asau 1974); only draws in
    parts that hold more than one word are searched for.
    """

    def __init__(self, counts: Tensor, power: float = 0.75) -> None:
        self.cumulative = noise_probability(counts, power).cumsum(0)
        self.cumulative[-1] = 1.0
        parts = 1 << min(22, 6 + len(counts).bit_length())
        self.guide = self._search(torch.arange(parts, dtype=torch.float64, device=counts.device) / parts)

    def to(self, device: torch.device) -> None:
        self.cumulative, self.guide = self.cumulative.to(device), self.guide.to(device)

    def invert(self, uniform: Tensor) -> Tensor:
        """The words at `uniform` draws from [0, 1), of the same shape."""
        drawn = uniform.flatten()
        words = self.guide[(drawn * len(self.guide)).long()]
        beyond = (self.cumulative[words] <= drawn).nonzero().squeeze(1)
        words[beyond] = self._search(drawn[beyond])
        return words.view(uniform.shape)

    def _search(self, uniform: Tensor) -> Tensor:
        return torch.searchsorted(self.cumulative, uniform, right=True)
