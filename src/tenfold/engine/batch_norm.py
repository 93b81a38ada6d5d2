"""BatchNorm over micro-batches with the statistics of the whole batch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norm_layers(module: nn.Module) -> list[_BatchNorm]:
    return [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]


@contextlib.contextmanager
def whole_batch_statistics(module: nn.Module, forward: Callable[[], Any]) -> Iterator[None]:
    """Normalise every BatchNorm layer of `module` by the statistics of the whole batch while the context is open.

    `forward` computes the whole batch once without a graph (a fraction of training's memory); each layer records its mean
    and variance, over all ranks, and updates its running statistics, once a batch and not once a micro-batch. In the context
    the layers use what was recorded: activations equal those of the undivided batch. The gradient takes the statistics as
    constants (their derivative would couple all samples, hence need all activations at once).
    """
    layers = [layer for layer in batch_norm_layers(module) if layer.training]
    recorded: dict[_BatchNorm, tuple[Tensor, Tensor]] = {}
    devices = [module.device] if getattr(module, "device", torch.device("cpu")).type == "cuda" else []
    try:
        for layer in layers:
            layer.forward = _recording(layer, recorded)  # type: ignore[method-assign]
        with torch.no_grad(), torch.random.fork_rng(devices):
            forward()
        for layer in layers:
            layer.forward = _applying(layer, recorded)  # type: ignore[method-assign]
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("forward", None)


def _recording(layer: _BatchNorm, recorded: dict[_BatchNorm, tuple[Tensor, Tensor]]) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        mean, variance, count = _moments(x)
        recorded[layer] = mean, variance
        _update_running(layer, mean, variance, count)
        return _normalise(layer, x, mean, variance)

    return forward


def _applying(layer: _BatchNorm, recorded: dict[_BatchNorm, tuple[Tensor, Tensor]]) -> Callable[[Tensor], Tensor]:
    return lambda x: _normalise(layer, x, *recorded[layer])


def _moments(x: Tensor) -> tuple[Tensor, Tensor, float]:
    """Mean and biased variance per channel of `x` `[batch, channels, ...]` over all ranks, and the elements per channel."""
    wide = x if x.dtype == torch.float64 else x.float()
    dims = [d for d in range(x.dim()) if d != 1]
    moments = torch.stack([wide.sum(dims), wide.square().sum(dims), torch.full_like(wide[0, :].flatten(1)[:, 0], x.numel() / x.shape[1])])
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(moments)
    total, squares, counts = moments
    mean = total / counts
    return mean, squares / counts - mean.square(), float(counts[0])


def _normalise(layer: _BatchNorm, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    return F.batch_norm(x, mean.to(x.dtype), variance.to(x.dtype), layer.weight, layer.bias, training=False, eps=layer.eps)


def _update_running(layer: _BatchNorm, mean: Tensor, variance: Tensor, count: float) -> None:
    if layer.running_mean is None or layer.running_var is None or layer.num_batches_tracked is None:
        return
    layer.num_batches_tracked += 1
    momentum = layer.momentum if layer.momentum is not None else 1.0 / float(layer.num_batches_tracked)
    unbiased = variance * (count / max(count - 1.0, 1.0))
    layer.running_mean.lerp_(mean.to(layer.running_mean.dtype), momentum)
    layer.running_var.lerp_(unbiased.to(layer.running_var.dtype), momentum)
