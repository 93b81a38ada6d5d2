"""What is seen of the copies while they train: how far they drift from the reference, what they cost."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tenfold.engine import memory

WHOLE = "whole"  # the reference


class History:
    """By copy (`WHOLE` for the reference): distances, seconds of each timed step, bytes of the measured ones."""

    def __init__(self) -> None:
        self.steps: list[int] = []  # after which the distances were taken
        self.distances: dict[str, list[float]] = {}
        self.seconds: dict[str, list[float]] = {}
        self.activations: dict[str, int] = {}  # the most that autograd kept, over all measured steps
        self.cuda: dict[str, int] = {}  # the most that was allocated on the GPU above what was before the step

    def state(self) -> dict[str, Any]:
        return dict(vars(self))

    def restore(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)

    @contextlib.contextmanager
    def timed(self, name: str, device: torch.device) -> Iterator[None]:
        """Take the time of the optimizer step inside the context."""
        _wait_for(device)
        began = time.perf_counter()
        yield
        _wait_for(device)
        self.seconds.setdefault(name, []).append(time.perf_counter() - began)

    @contextlib.contextmanager
    def weighed(self, name: str, device: torch.device) -> Iterator[None]:
        """Take the memory of the optimizer step inside the context, which slows it down."""
        on_gpu = device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device) if on_gpu else 0
        with memory.measured() as activations:
            yield
        self.activations[name] = max(activations.peak, self.activations.get(name, 0))
        if on_gpu:
            peak = torch.cuda.max_memory_allocated(device) - before
            self.cuda[name] = max(peak, self.cuda.get(name, 0))

    def compare(self, step: int, reference: nn.Module, copies: Mapping[str, nn.Module]) -> dict[str, float]:
        """Take each copy's distance after `step`."""
        found = distances(reference, copies)
        self.steps.append(step)
        for name, value in found.items():
            self.distances.setdefault(name, []).append(value)
        return found

    def costs(self, name: str) -> dict[str, float]:
        """Median milliseconds of a step, MiB of activations, and MiB on the GPU, as far as they were taken."""
        found = {}
        if self.seconds.get(name):
            found["milliseconds"] = 1000 * statistics.median(self.seconds[name])
        for kind, sizes in (("activations_mib", self.activations), ("cuda_mib", self.cuda)):
            if name in sizes:
                found[kind] = sizes[name] / memory.MEBIBYTE
        return found


def distances(reference: nn.Module, copies: Mapping[str, nn.Module]) -> dict[str, float]:
    r"""From the reference's parameters, :math:`\lVert \theta - \theta_0 \rVert / \lVert \theta_0 \rVert`."""
    with torch.no_grad():
        base = list(reference.parameters())
        norm = _norm(base)
        return {
            name: float(_norm([mine - other for mine, other in zip(copy.parameters(), base, strict=True)]) / norm)
            for name, copy in copies.items()
        }


def _norm(tensors: list[Any]) -> Tensor:
    return torch.nn.utils.get_total_norm(tensors)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
