"""BatchNorm over micro-batches with the statistics of the whole batch."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norm_layers(module: nn.Module) -> list[_BatchNorm]:
    return [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]


@contextlib.contextmanager
def whole_batch_statistics(module: nn.Module, forward: Callable[[], Any], ghost: bool = False) -> Iterator[None]:
    """Normalise every BatchNorm layer of `module` by the statistics of the whole batch while the context is open.

    `forward` computes the whole batch once without a graph (a fraction of training's memory); each layer records the
    mean and variance of each of its calls, over all ranks, and updates its running statistics, once a batch and not
    once a micro-batch. In the context the layers use what was recorded: activations equal those of the undivided batch.
    The gradient takes the statistics as constants (their derivative would couple all samples, hence need all
    activations at once). A rank whose batch is a `ghost` computes it for the others' sake and adds nothing to the
    statistics.
    """
    layers = [layer for layer in batch_norm_layers(module) if layer.training]
    if not layers:
        yield
        return
    recorded: dict[_BatchNorm, list[tuple[Tensor, Tensor]]] = {layer: [] for layer in layers}
    device = getattr(module, "device", torch.device("cpu"))
    try:
        for layer in layers:
            layer.forward = _recording(layer, recorded[layer], ghost)  # type: ignore[assignment,method-assign]
        with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
            forward()
        for layer in layers:
            layer.forward = _applying(layer, recorded[layer])  # type: ignore[assignment,method-assign]
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("forward", None)


def _recording(layer: _BatchNorm, calls: list[tuple[Tensor, Tensor]], ghost: bool) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        mean, variance, count = _moments(x, ghost)
        calls.append((mean, variance))
        _update_running(layer, mean, variance, count)
        return _normalise(layer, x, mean, variance)

    return forward


def _applying(layer: _BatchNorm, calls: list[tuple[Tensor, Tensor]]) -> Callable[[Tensor], Tensor]:
    turns = itertools.cycle(calls)  # a network may call one layer several times a batch, alike for every micro-batch
    return lambda x: _normalise(layer, x, *next(turns))


def _moments(x: Tensor, ghost: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance per channel of `x` `[batch, channels, ...]` and elements per channel, over all ranks."""
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    variance, mean = torch.var_mean(wide, [d for d in range(x.dim()) if d != 1], correction=0)
    count = wide.new_tensor(0 if ghost else x.numel() // x.shape[1])
    total = _over_ranks(torch.cat([mean * count, count[None]]))
    whole_mean, whole_count = total[:-1] / total[-1], total[-1]
    spread = _over_ranks((variance + (mean - whole_mean).square()) * count)
    return whole_mean, spread / whole_count, whole_count


def _over_ranks(value: Tensor) -> Tensor:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(value)
    return value


def _normalise(layer: _BatchNorm, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    kind = x.dtype if layer.weight is None else layer.weight.dtype  # under autocast, statistics stay in the wider type
    return F.batch_norm(x, mean.to(kind), variance.to(kind), layer.weight, layer.bias, eps=layer.eps)


def _update_running(layer: _BatchNorm, mean: Tensor, variance: Tensor, count: Tensor) -> None:
    if layer.running_mean is None or layer.running_var is None or layer.num_batches_tracked is None:
        return
    layer.num_batches_tracked += 1
    momentum = layer.momentum if layer.momentum is not None else 1.0 / float(layer.num_batches_tracked)
    unbiased = variance * count / (count - 1).clamp(min=1)
    layer.running_mean.lerp_(mean.to(layer.running_mean.dtype), momentum)
    layer.running_var.lerp_(unbiased.to(layer.running_var.dtype), momentum)
