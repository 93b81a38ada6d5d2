"""Parts that the image networks share: residual blocks that a condition steers, and the embedding of a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tenfold.errors import UserError


class SteeredBlock(nn.Module):
    r"""A residual step whose normalised channels the condition scales and shifts (FiLM, arXiv 1709.07871):

    .. math:: x + W_2 \, \sigma\left((1 + \gamma_c) \, \text{norm}(W_1 \, \sigma(\text{norm}(x))) + \beta_c\right),
    \qquad (\gamma_c, \beta_c) = V c,

    with the SiLU as :math:`\sigma` and 3 × 3 convolutions :math:`W`. GroupNorm, which looks at one sample alone, leaves
    a batch's gradient the same however it is cut. x is `[batch, in_channels, height, width]`, c `[batch, dim]`.
    """

    def __init__(self, in_channels: int, out_channels: int, dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Sequential(group_norm(in_channels), nn.SiLU(), nn.Conv2d(in_channels, out_channels, 3, 1, 1))
        self.steer = nn.Linear(dim, 2 * out_channels)
        self.norm = group_norm(out_channels)
        self.second = nn.Sequential(nn.SiLU(), nn.Dropout(dropout), nn.Conv2d(out_channels, out_channels, 3, 1, 1))
        same = in_channels == out_channels
        self.shortcut: nn.Module = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)
        nn.init.zeros_(self.second[2].weight)  # type: ignore[arg-type]  # the block starts as its shortcut

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.steer(condition)[:, :, None, None].chunk(2, dim=1)
        return self.shortcut(x) + self.second(self.norm(self.first(x)) * (1 + scale) + shift)


def group_norm(channels: int, wanted: int = 8) -> nn.GroupNorm:
    """The largest number of groups up to `wanted` that divides the channels."""
    return nn.GroupNorm(math.gcd(channels, wanted), channels)


class TimeEmbedding(nn.Module):
    r"""Cosines and sines of a time t in [0, 1] at frequencies from 1 to 1000, spaced evenly in their logarithms; two
    layers mix them. `[batch]` to `[batch, dim]`."""

    frequencies: Tensor

    def __init__(self, dim: int, waves: int = 32) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.logspace(0, 3, waves), persistent=False)
        self.mix = nn.Sequential(nn.Linear(2 * waves, dim), nn.SiLU(), nn.Linear(dim, dim))

    def forward(self, time: Tensor) -> Tensor:
        angles = time.unsqueeze(1) * self.frequencies
        return self.mix(torch.cat([angles.cos(), angles.sin()], dim=1))


def check_sides(image_size: tuple[int, int], divisor: int) -> None:
    """Raises `UserError` where a side cannot be halved as often as the network does."""
    if any(side % divisor for side in image_size):
        raise UserError(
            f"data: images of {image_size[0]} × {image_size[1]} pixels; this network halves them, "
            f"expected sides that are multiples of {divisor}"
        )
