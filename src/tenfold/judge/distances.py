"""How far the features of generated images are from those of real ones; each `[n, d]`, all in float64."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Estimate(NamedTuple):
    """A mean over subsets, and the deviation among them."""

    mean: float
    deviation: float


class PrecisionRecall(NamedTuple):
    """precision: share of fakes that look real; recall: share of reals that the fakes could be."""

    precision: float
    recall: float


def frechet_distance(a: Tensor, b: Tensor) -> float:
    r"""Squared Fréchet distance of the Gaussians with the two sets' means and covariances,

    .. math:: |\mu_a - \mu_b|^2 + \mathrm{tr}\left(A + B - 2 (A^{1/2} B A^{1/2})^{1/2}\right)

    (Heusel et al., 2017, arXiv 1706.08500). It is biased upward, the more the fewer samples: compare it only at one n.
    """
    a, b = a.double(), b.double()
    root = _root(torch.cov(a.T).reshape(a.shape[1], -1))
    other = torch.cov(b.T).reshape(b.shape[1], -1)
    shared = torch.linalg.eigvalsh(root @ other @ root).clamp(min=0).sqrt().sum()
    trace = root.square().sum() + other.trace() - 2 * shared
    return max(0.0, float((a.mean(0) - b.mean(0)).square().sum() + trace))


def _root(matrix: Tensor) -> Tensor:
    """The symmetric square root of a positive semidefinite matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def kernel_distance(a: Tensor, b: Tensor, subsets: int = 20, size: int = 500, seed: int = 0) -> Estimate:
    r"""The squared maximum mean discrepancy under :math:`k(x, y) = (x^T y / d + 1)^3`, without bias whatever n
    (KID; Bińkowski et al., 2018, arXiv 1801.01401).

    subsets, size: random subsets of so many samples (or all there are) of which the estimate is the mean.
    """
    a, b = a.double(), b.double()
    generator = torch.Generator().manual_seed(seed)
    size = min(size, len(a), len(b))
    values = []
    for _ in range(subsets):
        parts = (x[torch.randperm(len(x), generator=generator)[:size].to(x.device)] for x in (a, b))
        values.append(_unbiased_mmd(*parts))
    found = torch.stack(values)
    return Estimate(float(found.mean()), float(found.std(correction=0)))


def _unbiased_mmd(x: Tensor, y: Tensor) -> Tensor:
    def kernel(first: Tensor, second: Tensor) -> Tensor:
        return (first @ second.T / first.shape[1] + 1) ** 3

    def off_diagonal(matrix: Tensor) -> Tensor:
        return (matrix.sum() - matrix.trace()) / (len(matrix) * (len(matrix) - 1))

    return off_diagonal(kernel(x, x)) + off_diagonal(kernel(y, y)) - 2 * kernel(x, y).mean()


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> PrecisionRecall:
    """A sample looks like a set when it lies within the distance of one of its members to that member's k-th neighbour
    (Kynkäänniemi et al., 2019, arXiv 1904.06991)."""
    real, fake = real.double(), fake.double()
    return PrecisionRecall(_inside(fake, real, k), _inside(real, fake, k))


def _inside(samples: Tensor, members: Tensor, k: int) -> float:
    k = min(k, len(members) - 1)
    radius = torch.cdist(members, members).kthvalue(k + 1, dim=1).values  # the nearest is the member itself
    return float((torch.cdist(samples, members) <= radius).any(1).double().mean())


def distances(real: Tensor, fake: Tensor) -> dict[str, float]:
    """Fréchet and kernel distance, precision and recall, by the names they are reported under."""
    kernel = kernel_distance(real, fake)
    precision, recall = precision_recall(real, fake)
    return {
        "fid": frechet_distance(real, fake),
        "kid": kernel.mean,
        "kid_deviation": kernel.deviation,
        "precision": precision,
        "recall": recall,
    }


def real_floor(real: Tensor, seed: int = 0) -> dict[str, float]:
    """The same distances between two random halves of real images: what a perfect generator would measure.

    A Fréchet distance of n samples has the floor of 2 n real images, for its bias depends on n.
    """
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(seed)).to(real.device)
    half = len(real) // 2
    return distances(real[order[:half]], real[order[half : 2 * half]])
