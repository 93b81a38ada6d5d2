"""Sums over the processes that share a batch."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def own_group() -> Iterator[None]:
    """End the processes' group where it began inside the context: the next run may be on another device, or alone."""
    known = torch.distributed.is_available()
    before = known and torch.distributed.is_initialized()
    try:
        yield
    finally:
        if known and not before and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def summed(value: Tensor) -> Tensor:
    """The sum of all ranks' values, in place; the value itself where there is one process."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(value)
    return value


def largest(value: int, device: torch.device) -> int:
    """The largest of all ranks' values; the value itself where there is one process."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return value
    values = torch.tensor(value, device=device)
    torch.distributed.all_reduce(values, op=torch.distributed.ReduceOp.MAX)
    return int(values)


def sum_gradients(parameters: Iterable[nn.Parameter], device: torch.device) -> None:
    """Give every rank the sum of all ranks' gradients; one rank may use a parameter that another does not."""
    trained = [p for p in parameters if p.requires_grad]
    used = torch.tensor([p.grad is not None for p in trained], dtype=torch.uint8, device=device)
    torch.distributed.all_reduce(used, op=torch.distributed.ReduceOp.MAX)
    for parameter in itertools.compress(trained, used.tolist()):
        parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    gradients = [p.grad for p in trained if p.grad is not None]
    for dtype in dict.fromkeys(gradient.dtype for gradient in gradients):
        same = [gradient for gradient in gradients if gradient.dtype == dtype]
        flat = summed(torch.cat([gradient.flatten() for gradient in same]))
        for gradient, part in zip(same, flat.split([g.numel() for g in same]), strict=True):
            gradient.copy_(part.view_as(gradient))
