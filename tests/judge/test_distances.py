"""Distances of features against closed forms, other formulas and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tenfold.judge import (
    distances,
    frechet_distance,
    kernel_distance,
    precision_recall,
    real_floor,
)


def gaussian(n: int, mean: torch.Tensor, deviations: torch.Tensor, seed: int) -> torch.Tensor:
    """n samples whose own mean and covariance are exactly these."""
    draws = torch.randn(n, len(mean), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    draws = draws - draws.mean(0)
    white = draws @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(draws.T))).T
    return white * deviations + mean


def test_the_frechet_distance_of_gaussians_is_that_of_the_closed_form():
    """With diagonal covariances it is sum (m_a - m_b)² + (s_a - s_b)²."""
    m_a, m_b = torch.tensor([1.0, -2.0, 0.5]).double(), torch.tensor([0.0, 1.0, 0.5]).double()
    s_a, s_b = torch.tensor([1.0, 2.0, 0.1]).double(), torch.tensor([3.0, 0.5, 0.1]).double()
    a, b = gaussian(500, m_a, s_a, 0), gaussian(700, m_b, s_b, 1)
    expected = float(((m_a - m_b) ** 2 + (s_a - s_b) ** 2).sum())
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_it_does_not_depend_on_the_axes_and_agrees_with_the_root_of_the_product():
    generator = torch.Generator().manual_seed(2)
    a = torch.randn(300, 5, generator=generator, dtype=torch.float64) @ torch.randn(5, 5, generator=generator).double()
    b = torch.randn(200, 5, generator=generator, dtype=torch.float64) @ torch.randn(5, 5, generator=generator).double()
    turn = torch.linalg.qr(torch.randn(5, 5, generator=generator).double()).Q
    product = np.cov(a.numpy().T) @ np.cov(b.numpy().T)
    root = np.sqrt(np.linalg.eigvals(product).real.clip(0)).sum()
    brute = float((a.mean(0) - b.mean(0)).square().sum()) + np.cov(a.T).trace() + np.cov(b.T).trace() - 2 * root
    assert frechet_distance(a, b) == pytest.approx(brute, rel=1e-9)
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(brute, rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_it_is_taken_of_dead_features_too():
    """A judge's unit may never fire, so that the covariance is singular."""
    a = gaussian(50, torch.zeros(3).double(), torch.ones(3).double(), 3)
    a[:, 1] = 0
    assert frechet_distance(a.float(), a.float() + torch.tensor([0.0, 2.0, 0.0])) == pytest.approx(4, rel=1e-5)


def test_the_kernel_distance_is_the_unbiased_sum_over_pairs():
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(7, 3, generator=generator).double()
    y = torch.randn(7, 3, generator=generator).double() + 1

    def kernel(a, b):
        return (float(a @ b) / 3 + 1) ** 3

    pairs = [(i, j) for i in range(7) for j in range(7)]
    within = sum(kernel(x[i], x[j]) + kernel(y[i], y[j]) for i, j in pairs if i != j) / 42
    across = sum(kernel(x[i], y[j]) for i, j in pairs) / 49
    found = kernel_distance(x, y, subsets=3, size=7)
    assert found.mean == pytest.approx(within - 2 * across, rel=1e-9)
    assert found.deviation == pytest.approx(0, abs=1e-9)


def test_the_kernel_distance_of_like_sets_is_zero_on_average_and_grows_with_the_shift():
    generator = torch.Generator().manual_seed(5)
    a, b = (torch.randn(400, 6, generator=generator) for _ in range(2))
    like, near, far = (kernel_distance(a, b + shift, size=200).mean for shift in (0.0, 0.3, 1.0))
    assert abs(like) < 0.05 < near < far


def test_precision_and_recall_tell_a_poor_generator_from_a_narrow_one():
    generator = torch.Generator().manual_seed(6)
    real = torch.randn(300, 2, generator=generator)
    narrow = precision_recall(real, torch.randn(300, 2, generator=generator) * 0.1)
    wide = precision_recall(real, torch.randn(300, 2, generator=generator) * 10)
    assert narrow.precision > 0.95 > 0.3 > narrow.recall
    assert wide.precision < 0.3 < 0.6 < wide.recall
    assert precision_recall(real, real) == (1, 1)


def test_precision_is_that_of_brute_force():
    generator = torch.Generator().manual_seed(7)
    real, fake = torch.randn(20, 3, generator=generator).double(), torch.randn(15, 3, generator=generator).double()
    inside = 0
    for sample in fake:
        for member in real:
            radius = sorted(math.dist(member, other) for other in real)[3]  # the 0th is the member itself
            if math.dist(sample, member) <= radius:
                inside += 1
                break
    assert precision_recall(real, fake, k=3).precision == pytest.approx(inside / 15)


def test_the_floor_is_the_distance_between_halves():
    real = torch.randn(401, 4, generator=torch.Generator().manual_seed(8))
    floor = real_floor(real, seed=1)
    assert floor == real_floor(real, seed=1) != real_floor(real, seed=2)
    shifted = distances(real[:200], real[200:400] + 1)
    assert floor["fid"] < 0.3 < shifted["fid"] and floor["kid"] < shifted["kid"]
    assert set(floor) == {"fid", "kid", "kid_deviation", "precision", "recall"}
