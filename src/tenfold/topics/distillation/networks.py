"""Looking into two networks at once: features by a layer's name, and the regressor between them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedParameter

from tenfold.errors import UserError, nearest


def layer_of(network: nn.Module, name: str, key: str) -> nn.Module:
    """The layer with the dotted name `name`. Raises `UserError` that names the config's `key`."""
    known = {layer: module for layer, module in network.named_modules() if layer}
    if name not in known:
        expected = nearest(name, known) or f"; expected one of {', '.join(list(known)[:12])}, ..."
        raise UserError(f"{key}: {type(network).__name__} has no layer {name!r}{expected}")
    return known[name]


def logits_and_features(network: nn.Module, layer: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """What the network gives, and what its layer gave on the way, in one pass."""
    features: list[Tensor] = []
    handle = layer.register_forward_hook(lambda module, given, output: features.append(output))
    try:
        logits = network(inputs)
    finally:
        handle.remove()
    return logits, features[-1]


class Regressor(LazyModuleMixin, nn.Module):
    r"""A linear map of channels, :math:`r_{\cdot p} = W f_{\cdot p}` at each place p: a 1 × 1 convolution.

    Features `[batch, student channels, ...]` to `[batch, teacher channels, ...]`. Both numbers are the networks' own:
    it has none until `connect` or a checkpoint gives them.
    """

    weight: nn.Parameter | UninitializedParameter

    def __init__(self) -> None:
        super().__init__()
        self.weight = UninitializedParameter()

    def connect(self, student_channels: int, teacher_channels: int) -> None:
        """Take shape, and random weights; keep those there are, of a checkpoint."""
        if isinstance(self.weight, UninitializedParameter):
            self.weight.materialize((teacher_channels, student_channels))
            nn.init.normal_(self.weight, std=student_channels**-0.5)
        elif self.weight.shape != (teacher_channels, student_channels):
            raise UserError(
                f"model.teacher: its hint has {teacher_channels} channels, expected {len(self.weight)} as in training"
            )

    def initialize_parameters(self, features: Tensor) -> None:
        """Called before the first forward pass; `connect` has been by then, or a checkpoint."""

    def forward(self, features: Tensor) -> Tensor:
        return torch.einsum("bs...,ts->bt...", features, self.weight)


class Guided(nn.Module):
    """A student with the regressor from one of its layers; called, it is the student."""

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student
        self.regressor = Regressor()

    def forward(self, inputs: Tensor) -> Tensor:
        return self.student(inputs)


def at_one_size(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Features `[batch, channels, height, width]` of two networks, the larger averaged down to the other's size."""
    if first.ndim != second.ndim or first.ndim not in (2, 4):
        raise UserError(
            f"model.hint_layer: features {list(first.shape)} of the student and {list(second.shape)} of the teacher; "
            "expected both [batch, channels] or both [batch, channels, height, width]"
        )
    if first.ndim == 2:
        return first, second
    size = min(first.shape[2], second.shape[2]), min(first.shape[3], second.shape[3])
    return F.adaptive_avg_pool2d(first, size), F.adaptive_avg_pool2d(second, size)
