"""Running out of memory: recognising it, simulating it, starting again."""

from __future__ import annotations

import contextlib
import gc
import re
from collections.abc import Iterator

import torch
from torch import Tensor, nn

# The wordings in which CUDA, its libraries, ROCm, MPS and the CPU allocator say that memory is short.
_WORDINGS = re.compile(
    r"out of memory|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED|CUSOLVER_STATUS_ALLOC_FAILED"
    r"|CUFFT_ALLOC_FAILED|cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"
    r"|DefaultCPUAllocator: (can't|not enough)|Unable to find a valid cuDNN algorithm"
    r"|NCCL.*unhandled cuda error.*memory",
    re.IGNORECASE,
)

MEBIBYTE = 2**20


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory is short, in any of the wordings that libraries use."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or bool(_WORDINGS.search(str(error)))


def release() -> None:
    """Give unused memory back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class Activations:
    """Counts the memory that autograd keeps for the backward pass, parameters not included.

    `bytes` is what is kept now, `peak` the most so far. The count follows tensors' storages, so it is the same on every
    device and every run. A storage that several operations keep counts once, and it is given back when the last of them
    is.
    """

    def __init__(self, budget: float | None = None) -> None:
        self.budget = budget  # MiB
        self.bytes = self.peak = 0
        self._holders: dict[int, int] = {}

    def keep(self, tensor: Tensor) -> _Kept:
        if isinstance(tensor, nn.Parameter) or (tensor._base is not None and isinstance(tensor._base, nn.Parameter)):
            return _Kept(self, tensor, None)
        storage = tensor.untyped_storage()
        key = storage.data_ptr()
        if not self._holders.get(key):
            self.bytes += storage.nbytes()
            self.peak = max(self.peak, self.bytes)
            if self.budget is not None and self.bytes > self.budget * MEBIBYTE:
                self.bytes -= storage.nbytes()
                raise torch.OutOfMemoryError(f"out of memory: activations exceed the budget of {self.budget:g} MiB")
        self._holders[key] = self._holders.get(key, 0) + 1
        return _Kept(self, tensor, key)

    def drop(self, key: int, size: int) -> None:
        self._holders[key] -= 1
        if self._holders[key] == 0:
            del self._holders[key]
            self.bytes -= size


class _Kept:
    """A tensor that autograd keeps; its memory is given back together with it."""

    def __init__(self, owner: Activations, tensor: Tensor, key: int | None) -> None:
        self.owner, self.tensor, self.key = owner, tensor, key

    def __del__(self) -> None:
        if self.key is not None:
            self.owner.drop(self.key, self.tensor.untyped_storage().nbytes())


@contextlib.contextmanager
def measured(budget: float | None = None) -> Iterator[Activations]:
    """Count what autograd keeps while the context is open; beyond `budget` MiB, raise `torch.OutOfMemoryError`."""
    activations = Activations(budget)
    with torch.autograd.graph.saved_tensors_hooks(activations.keep, lambda kept: kept.tensor):
        yield activations


def limited(budget: float | None) -> contextlib.AbstractContextManager:
    """A simulated device of `budget` MiB for activations; None: no limit and no cost."""
    return contextlib.nullcontext() if budget is None else measured(budget)


class Snapshot:
    """Random state and buffers of a module, to start a batch again as if the failed attempt had not been."""

    def __init__(self, module: nn.Module) -> None:
        self.random = torch.get_rng_state()
        self.cuda_random = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        self.buffers = [buffer.clone() for buffer in module.buffers()]

    def restore(self, module: nn.Module) -> None:
        torch.set_rng_state(self.random)
        if self.cuda_random:
            torch.cuda.set_rng_state_all(self.cuda_random)
        for buffer, before in zip(module.buffers(), self.buffers, strict=True):
            buffer.copy_(before)
