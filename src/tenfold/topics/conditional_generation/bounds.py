"""What a variational autoencoder is measured by: the divergence from the prior, a tighter bound, the units in use."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

LikelihoodName = Literal["bernoulli", "gaussian"]


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""The divergence of :math:`N(\mu, \text{diag}(\sigma^2))` from :math:`N(0, I)` in each unit,
    :math:`\frac12 (\mu^2 + \sigma^2 - 1 - \log \sigma^2)`; all three of one shape."""
    return (mean.square() + log_variance.exp() - 1 - log_variance) / 2


def normal_log_density(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Of each element; the three broadcast."""
    return -((x - mean).square() * (-log_variance).exp() + log_variance + math.log(2 * math.pi)) / 2


def log_likelihood(pixels: Tensor, logits: Tensor, log_variance: Tensor | None) -> Tensor:
    r"""log p(x | z, y) of each image, `[batch]`, from the logits of its pixels' means; `[batch, channels, height,
    width]` both.

    Without `log_variance` pixels are binary: :math:`\sum_i x_i \log \pi_i + (1 - x_i) \log(1 - \pi_i)`. With it, a
    number that all pixels share, they are normal around their means (σ-VAE: Rybkin et al., 2021, arXiv 2006.13202).
    """
    if log_variance is None:
        each = -F.binary_cross_entropy_with_logits(logits, pixels, reduction="none")
    else:
        each = normal_log_density(pixels, logits.sigmoid(), log_variance)
    return each.flatten(1).sum(1)


def importance_bound(log_joint: Tensor, log_posterior: Tensor) -> Tensor:
    r"""The importance-weighted bound on log p(x | y), `[batch]`, from k draws z of q, both arguments `[k, batch]`:

    .. math:: \log \frac1k \sum_{i=1}^k \frac{p(x, z_i \mid y)}{q(z_i \mid x, y)}

    (IWAE: Burda et al., 2016, arXiv 1509.00519). Its mean grows with k, from the ELBO at k = 1 to log p(x | y).
    """
    ratios = log_joint - log_posterior
    return ratios.logsumexp(0) - math.log(len(ratios))


def active_units(means: Tensor, threshold: float = 0.01) -> int:
    """Units of z whose posterior mean `[samples, units]` varies over the data by more than the threshold (same paper);
    the others have collapsed to the prior and say nothing."""
    return int((torch.var(means.double(), dim=0) > threshold).sum())
