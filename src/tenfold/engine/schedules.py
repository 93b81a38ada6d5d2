"""Learning-rate schedules, counted in optimizer steps."""

from __future__ import annotations

import math
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from tenfold.errors import UserError


def warmup_decay(
    optimizer: Optimizer,
    total_steps: float,
    warmup: float = 0.0,
    decay: Literal["cosine", "linear", "constant"] = "cosine",
    final: float = 0.0,
) -> LambdaLR:
    """Rise linearly over the first `warmup` steps to the optimizer's learning rate, then fall to `final` times it.

    warmup: optimizer steps, or a fraction of `total_steps` where it is below 1.
    decay: the shape of the fall; with `warmup` a third of the run and "linear" this is the one-cycle policy
        (Smith, 2018, arXiv 1803.09820); "cosine" is that of SGDR (Loshchilov & Hutter, 2017, arXiv 1608.03983).

    The first step is taken at 1 / (warmup + 1) of the rate, so that no step is wasted at zero.
    """
    if decay not in ("cosine", "linear", "constant"):
        raise UserError(f"scheduler.decay: found {decay!r}, expected cosine, linear or constant")
    if math.isinf(total_steps) and decay != "constant":
        raise UserError(f"scheduler.decay: {decay} needs an end; expected trainer.max_epochs or trainer.max_steps")
    rise = warmup * total_steps if 0 < warmup < 1 else warmup

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / (rise + 1)
        if decay == "constant":
            return 1.0
        progress = min(1.0, (step - rise) / max(1.0, total_steps - rise))
        shape = (1 + math.cos(math.pi * progress)) / 2 if decay == "cosine" else 1 - progress
        return final + (1 - final) * shape

    return LambdaLR(optimizer, factor)
