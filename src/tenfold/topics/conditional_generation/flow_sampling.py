"""From noise to samples along a velocity field, with and without guidance."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

#: A velocity `[batch, ...]` of samples `[batch, ...]` at the times `[batch]`.
Velocity = Callable[[Tensor, Tensor], Tensor]
Solver = Literal["heun", "euler"]


def integrate(velocity: Velocity, noise: Tensor, steps: int, solver: Solver = "heun") -> Tensor:
    r"""The solution at t = 1 of :math:`\dot x = v(x, t)` from :math:`x_0` = noise, in equal steps.

    Euler's step costs one velocity and errs by O(1/steps) in all; Heun's, which repeats it with the mean of the
    velocities at both its ends, costs two and errs by O(1/steps²).
    """
    times = torch.linspace(0, 1, steps + 1, dtype=noise.dtype, device=noise.device)
    x = noise
    for now, then in pairwise(times):
        first = velocity(x, now.expand(len(x)))
        ahead = x + (then - now) * first
        if solver == "heun":
            ahead = x + (then - now) * (first + velocity(ahead, then.expand(len(x)))) / 2
        x = ahead
    return x


def guided(
    network: Callable[[Tensor, Tensor, Tensor], Tensor], labels: Tensor, empty: int, guidance: float
) -> Velocity:
    r"""Classifier-free guidance (Ho & Salimans, 2022, arXiv 2207.12598):

    .. math:: v = v(x, t, \varnothing) + w \, (v(x, t, y) - v(x, t, \varnothing)).

    w = 1 is the conditional model, 0 the unconditional one; beyond 1, samples are more typical of their class and less
    varied. Only where w is neither are both computed, as one batch.

    empty: the label that stands for no condition.
    """
    nothing = torch.full_like(labels, empty)
    if guidance in (0.0, 1.0):
        chosen = labels if guidance == 1 else nothing
        return lambda x, time: network(x, time, chosen)

    def velocity(x: Tensor, time: Tensor) -> Tensor:
        both = network(torch.cat([x, x]), torch.cat([time, time]), torch.cat([labels, nothing]))
        conditional, unconditional = both.chunk(2)
        return unconditional + guidance * (conditional - unconditional)

    return velocity
