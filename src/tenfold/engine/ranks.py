"""Sums over the processes that share a batch."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

_TOLD = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")


@contextlib.contextmanager
def own_group() -> Iterator[None]:
    """End the processes' group where it began inside the context: the next run may be on another device, or alone.

    What Lightning has told the environment of the group is taken back too: the next run would wait for its peers.
    """
    known = torch.distributed.is_available()
    before = known and torch.distributed.is_initialized()
    told = {name: os.environ.get(name) for name in _TOLD}
    try:
        yield
    finally:
        if known and not before and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        for name, value in told.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


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
