"""How well points cover the modes of a mixture that is known."""

from __future__ import annotations

import math

import torch
from torch import Tensor

REACH = 3.0  # deviations of its mode within which a sample is good
LEAST = 0.1  # of its fair share of the samples, that a mode must get as good ones


def mode_metrics(points: Tensor, centres: Tensor, deviation: float) -> dict[str, float]:
    r"""Quality and coverage of points `[n, 2]` for Gaussians at `centres` `[k, 2]`.

    good: share of samples within 3 deviations of a centre, in Euclidean distance: :math:`1 - e^{-4.5}` = 0.989 of real
        points are.
    modes: centres that have at least a tenth of their fair share, 1 / k of all samples, as good samples.
    divergence: Jensen–Shannon divergence, in nats, of the shares of samples at each centre and at none from those of
        real points: it tells of lost modes and of bad samples alike.
    """
    distance, nearest = torch.cdist(points.double(), centres.double()).min(1)
    good = distance <= REACH * deviation
    counts = torch.bincount(nearest[good], minlength=len(centres)).double()
    shares = torch.cat([counts, (~good).sum().double().view(1)]) / len(points)
    inside = 1 - math.exp(-(REACH**2) / 2)
    expected = shares.new_tensor([inside / len(centres)] * len(centres) + [1 - inside])
    return {
        "divergence": _jensen_shannon(shares, expected),
        "good": float(good.double().mean()),
        "modes": float((counts >= LEAST * len(points) / len(centres)).sum()),
    }


def _jensen_shannon(p: Tensor, q: Tensor) -> float:
    middle = (p + q) / 2
    return float((_relative(p, middle) + _relative(q, middle)) / 2)


def _relative(p: Tensor, q: Tensor) -> Tensor:
    """Kullback–Leibler divergence; where p is 0 it adds nothing."""
    return (torch.xlogy(p, p) - torch.xlogy(p, q.clamp(min=1e-300))).sum()
