"""BatchNorm over micro-batches with the statistics of the whole batch."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from tenfold.engine.precision import full_precision
from tenfold.engine.ranks import summed
from tenfold.nn.precision import widened


def batch_norm_layers(module: nn.Module) -> list[_BatchNorm]:
    return [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]


def warn_of_micro_batches(module: nn.Module) -> None:
    if any(layer.training for layer in batch_norm_layers(module)):
        rank_zero_warn(
            "BatchNorm sees the statistics of each micro-batch, not of the whole batch: the one thing that "
            "accumulation does not reproduce. trainer.batch_norm=whole takes them over the whole batch, "
            "at the cost of one more pass; exact gives the whole batch's gradient too, at that of one more a layer."
        )


@dataclass(eq=False)
class _Call:
    r"""One call of a layer, and what is known of it over the whole batch on all ranks.

    With :math:`g = \partial L / \partial \hat x`, the derivative of a layer's output by its input is
    :math:`\frac{1}{\sigma} (g - \mathrm{mean}(g) - \hat x\, \mathrm{mean}(g \hat x))`, means over the batch.
    """

    mean: Tensor  # [channels]
    deviation: Tensor
    count: Tensor  # of elements a channel
    exact: bool
    means: Tensor | None = None  # of g and of g * x_hat, [2, channels]
    watched: bool = False
    output: Tensor | None = None  # x_hat of the micro-batch at hand, where watched


@contextlib.contextmanager
def whole_batch_statistics(
    module: nn.Module, forward: Callable[[], Any], losses: Sequence[Callable[[], Tensor]] = (), ghost: bool = False
) -> Iterator[None]:
    """Normalise every BatchNorm layer of `module` by the statistics of the whole batch while the context is open.

    `forward` computes the whole batch once without a graph (a fraction of training's memory); each layer records the
    mean and variance of each of its calls, over all ranks, and updates its running statistics, once a batch and not
    once a micro-batch. In the context the layers use what was recorded: activations equal those of the undivided batch.

    The gradient through the statistics couples all samples. Given `losses`, which compute each micro-batch's share of
    the loss, it is exact, at the cost of one pass over them for each call of a layer. Without them, each micro-batch's
    own statistics stand in for it, as in batch renormalisation (Ioffe, arXiv 1702.03275).

    A rank whose batch is a `ghost` computes it for the others' sake and adds nothing to the statistics.
    """
    layers = [layer for layer in batch_norm_layers(module) if layer.training]
    if not layers:
        yield
        return
    calls: dict[_BatchNorm, list[_Call]] = {layer: [] for layer in layers}
    order: list[_Call] = []
    try:
        for layer in layers:
            layer.forward = _recording(layer, calls[layer], order, bool(losses), ghost)  # type: ignore[assignment,method-assign]
        with torch.no_grad(), _same_draws(module):
            forward()
        for layer in layers:
            layer.forward = _applying(layer, calls[layer])  # type: ignore[assignment,method-assign]
        for call in reversed(order) if losses else ():  # what lies behind a call is exact by then
            means = _gradient_means(module, call, losses)
            call.means = None if ghost else means  # the means are not those of samples that do not count
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("forward", None)


def _same_draws(module: nn.Module) -> contextlib.AbstractContextManager:
    """Give the random state back, so that the next pass draws what this one drew."""
    device = getattr(module, "device", torch.device("cpu"))
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def _recording(
    layer: _BatchNorm, calls: list[_Call], order: list[_Call], exact: bool, ghost: bool
) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        mean, variance, count = _moments(x, ghost)
        _update_running(layer, mean, variance, count)
        calls.append(_Call(mean, (variance + layer.eps).sqrt(), count, exact))
        order.append(calls[-1])
        return _exact(layer, x, calls[-1])

    return forward


def _applying(layer: _BatchNorm, calls: list[_Call]) -> Callable[[Tensor], Tensor]:
    turns = itertools.cycle(calls)  # a network may call one layer several times a batch, alike for every micro-batch

    def forward(x: Tensor) -> Tensor:
        call = next(turns)
        alone = x.numel() == x.shape[1]  # statistics of one value have no derivative
        return _exact(layer, x, call) if call.exact or alone else _renormalised(layer, x, call)

    return forward


def _exact(layer: _BatchNorm, x: Tensor, call: _Call) -> Tensor:
    """The statistics are constants, their derivative is that of the batch, as far as it is known."""
    x_hat = (widened(x) - _spread(call.mean, x)) / _spread(call.deviation, x)
    if call.watched:
        call.output = x_hat
    if call.means is not None and x_hat.requires_grad:
        mean, slope = (_spread(value, x) for value in call.means)
        fixed = x_hat.detach()
        x_hat.register_hook(lambda g: g - mean - fixed * slope)
    y = x_hat if layer.weight is None else x_hat * _spread(layer.weight, x) + _spread(layer.bias, x)
    return y.to(x.dtype)


def _renormalised(layer: _BatchNorm, x: Tensor, call: _Call) -> Tensor:
    r""":math:`\hat x = \frac{x - \mu_m}{\sigma_m} r + d` with the micro-batch's own statistics and constants
    :math:`r = \sigma_m / \sigma`, :math:`d = (\mu_m - \mu) / \sigma`; its value is that of :math:`(x - \mu) / \sigma`.
    """
    variance, mean = torch.var_mean(widened(x.detach()), _all_but_channels(x), correction=0)
    scale = (variance + layer.eps).sqrt() / call.deviation
    shift = (mean - call.mean) / call.deviation
    if layer.weight is not None:
        scale, shift = scale * layer.weight, shift * layer.weight + layer.bias
    return F.batch_norm(widened(x), None, None, scale, shift, training=True, eps=layer.eps).to(x.dtype)


def _gradient_means(module: nn.Module, call: _Call, losses: Sequence[Callable[[], Tensor]]) -> Tensor:
    """The batch's means of g and of g * x_hat at `call`, computed from one micro-batch after the other."""
    total = torch.zeros(2, len(call.mean), dtype=call.mean.dtype, device=call.mean.device)
    call.watched = True
    with _same_draws(module):
        for compute in losses:
            loss, x_hat = compute(), call.output
            assert x_hat is not None
            if not x_hat.requires_grad:
                continue
            with full_precision(loss.device):
                (g,) = torch.autograd.grad(loss, x_hat, allow_unused=True)
            if g is not None:
                total += torch.stack([value.sum(_all_but_channels(g)) for value in (g, g * x_hat.detach())])
    call.watched, call.output = False, None
    return summed(total) / call.count


def _moments(x: Tensor, ghost: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance per channel of `x` `[batch, channels, ...]` and elements per channel, over all ranks."""
    variance, mean = torch.var_mean(widened(x), _all_but_channels(x), correction=0)
    count = mean.new_tensor(0 if ghost else x.numel() // x.shape[1])
    total = summed(torch.cat([mean * count, count[None]]))
    whole_mean, whole_count = total[:-1] / total[-1], total[-1]
    spread = summed((variance + (mean - whole_mean).square()) * count)
    return whole_mean, spread / whole_count, whole_count


def _update_running(layer: _BatchNorm, mean: Tensor, variance: Tensor, count: Tensor) -> None:
    if layer.running_mean is None or layer.running_var is None or layer.num_batches_tracked is None:
        return
    layer.num_batches_tracked += 1
    momentum = layer.momentum if layer.momentum is not None else 1.0 / float(layer.num_batches_tracked)
    unbiased = variance * count / (count - 1).clamp(min=1)
    layer.running_mean.lerp_(mean.to(layer.running_mean.dtype), momentum)
    layer.running_var.lerp_(unbiased.to(layer.running_var.dtype), momentum)


def _all_but_channels(x: Tensor) -> list[int]:
    return [d for d in range(x.dim()) if d != 1]


def _spread(value: Tensor, x: Tensor) -> Tensor:
    """A value for each channel, as `x` has its channels."""
    return value.view(1, -1, *[1] * (x.dim() - 2))
