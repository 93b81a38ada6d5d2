"""Sums and weights of an evaluation, batch after batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tenfold.engine.accumulation import Sums, Weights


class Totals:
    """Each loss term's sum and weight over the batches added so far, in float64."""

    def __init__(self) -> None:
        self._pairs: dict[str, Tensor] = {}

    def add(self, sums: Sums, weights: Weights) -> None:
        for name, value in sums.items():
            pair = torch.stack([value.double(), torch.as_tensor(weights[name], device=value.device).double()])
            self._pairs[name] = self._pairs[name] + pair if name in self._pairs else pair

    def means(self, summed_over_ranks: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Each term's mean over all batches of all ranks; 0 where nothing weighs."""
        means = {}
        for name, pair in self._pairs.items():
            total, weight = summed_over_ranks(pair).tolist()
            means[name] = total / weight if weight else 0.0
        return means
