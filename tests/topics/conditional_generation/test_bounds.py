import math
from itertools import pairwise

import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from tenfold.topics.conditional_generation.bounds import (
    active_units,
    gaussian_kl,
    importance_bound,
    log_likelihood,
    normal_log_density,
)


def _posterior(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(5, 3, generator=generator, dtype=torch.float64), torch.randn(
        5, 3, generator=generator, dtype=torch.float64
    )


def test_the_kl_is_torchs():
    mean, log_variance = _posterior()
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(gaussian_kl(mean, log_variance), expected)


def test_the_kl_is_the_mean_of_the_log_ratio_over_draws():
    mean, log_variance = _posterior(1)
    noise = torch.randn(200_000, 5, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    z = mean + (log_variance / 2).exp() * noise
    zero = torch.zeros((), dtype=torch.float64)
    ratio = normal_log_density(z, mean, log_variance) - normal_log_density(z, zero, zero)
    standard_error = ratio.std(0) / 200_000**0.5
    assert ((ratio.mean(0) - gaussian_kl(mean, log_variance)).abs() < 5 * standard_error).all()


def test_the_likelihoods_are_torchs_and_binary_ones_add_up_to_one():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1, 2, 1, generator=generator, dtype=torch.float64)
    pixels = torch.rand(2, 1, 2, 1, generator=generator, dtype=torch.float64)
    log_variance = torch.tensor(-1.3, dtype=torch.float64)
    normal = Normal(logits.sigmoid(), math.exp(-1.3 / 2)).log_prob(pixels).flatten(1).sum(1)
    torch.testing.assert_close(log_likelihood(pixels, logits, log_variance), normal)
    binary = (pixels > 0.5).double()
    torch.testing.assert_close(
        log_likelihood(binary, logits, None), Bernoulli(logits=logits).log_prob(binary).flatten(1).sum(1)
    )
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 2).view(4, 1, 2, 1)
    assert log_likelihood(every, logits[:1].expand(4, -1, -1, -1), None).exp().sum() == pytest.approx(1)


def test_the_importance_bound_grows_from_the_elbo_to_the_evidence():
    """x | z ~ N(z, 1), z ~ N(0, 1), so that x ~ N(0, 2) is known; q is not the posterior N(x / 2, 1 / 2)."""
    x = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64)
    mean, log_variance = 0.8 * x, torch.full((3,), math.log(0.9), dtype=torch.float64)
    zero = torch.zeros((), dtype=torch.float64)
    z = mean + (log_variance / 2).exp() * torch.randn(
        2000, 1000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    joint = normal_log_density(z, zero, zero) + normal_log_density(x, z, zero)
    posterior = normal_log_density(z, mean, log_variance)
    bounds = [importance_bound(joint[:k], posterior[:k]).mean(0) for k in (1, 5, 50, 2000)]
    elbo = (joint - posterior).mean((0, 1))
    evidence = Normal(0.0, math.sqrt(2)).log_prob(x)
    torch.testing.assert_close(bounds[0], elbo, atol=0.15, rtol=0)
    for smaller, larger in pairwise(bounds):
        assert (larger > smaller).all()
    assert (evidence - bounds[0] > 0.05).all()
    torch.testing.assert_close(bounds[-1], evidence, atol=2e-3, rtol=0)


def test_with_the_true_posterior_one_draw_is_enough():
    x = torch.tensor([0.3, -1.2], dtype=torch.float64)
    zero, variance = torch.zeros((), dtype=torch.float64), torch.tensor(math.log(0.5), dtype=torch.float64)
    z = x / 2 + math.sqrt(0.5) * torch.randn(1, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    joint = normal_log_density(z, zero, zero) + normal_log_density(x, z, zero)
    bound = importance_bound(joint, normal_log_density(z, x / 2, variance))
    torch.testing.assert_close(bound, Normal(0.0, math.sqrt(2)).log_prob(x))


def test_units_that_say_nothing_are_not_active():
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(200, 4, generator=generator) * torch.tensor([1.0, 0.5, 0.05, 0.0])
    assert active_units(means) == 2
