"""Bounding the gradient of a whole optimizer step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import Optimizer

if TYPE_CHECKING:
    from tenfold.engine.module import TenfoldModule


def clip_gradient(module: TenfoldModule, optimizer: Optimizer, measure: bool) -> Tensor | None:
    """Clip as `module.stepping` says; the gradient's norm before, where it was taken to clip or is to be measured."""
    clip, by_norm = module.stepping.gradient_clip_val, module.stepping.gradient_clip_algorithm == "norm"
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if clip is not None and by_norm:
        wrapped: Any = module.trainer.strategy.model
        if hasattr(wrapped, "clip_grad_norm_"):  # FSDP holds shards: only it knows the norm of the whole
            return wrapped.clip_grad_norm_(clip)
        return torch.nn.utils.clip_grad_norm_(parameters, clip)
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]) if measure else None
    if clip is not None:
        torch.nn.utils.clip_grad_value_(parameters, clip)
    return norm
