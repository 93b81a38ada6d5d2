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
        return _whole(torch.nn.utils.clip_grad_norm_(parameters, clip))
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]) if measure else None
    if clip is not None:
        torch.nn.utils.clip_grad_value_(parameters, clip)
    return None if norm is None else _whole(norm)


def _whole(norm: Any) -> Tensor:
    """FSDP's norm is a sum over shards that is still to be taken."""
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm
