"""The residual networks of the paper for small images, their plain twins, and torchvision's ResNets."""

from __future__ import annotations

from typing import Literal

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.errors import UserError, nearest

Stem = Literal["full", "pool"]


class BasicBlock(nn.Module):
    r""":math:`\mathrm{ReLU}(F(x) + S(x))` with :math:`F` = convolution, BatchNorm, ReLU, convolution, BatchNorm.

    `[batch, in_channels, height, width]` to `[batch, out_channels, height / stride, width / stride]`. The shortcut
    :math:`S` is the paper's option A, which has no parameters: x itself; where the shape changes, every `stride`-th
    pixel of x, with channels of zeros behind its own. In the plain twin (`shortcut=False`) :math:`S(x) = 0`.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, shortcut: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.new_channels, self.stride, self.shortcut = out_channels - in_channels, stride, shortcut

    def forward(self, x: Tensor) -> Tensor:
        residual = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(residual + self._same(x) if self.shortcut else residual)

    def _same(self, x: Tensor) -> Tensor:
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, self.new_channels)) if self.new_channels else x


class ResNet(nn.Module):
    r"""The CIFAR network of He et al. (2016, arXiv 1512.03385, section 4.2), of :math:`6 n + 2` layers.

    A 3 × 3 convolution, BatchNorm and ReLU; three stages of :math:`n` blocks, of 16, 32 and 64 channels, the second and
    the third halving height and width; the mean over all pixels; a linear map. `[batch, in_channels, height, width]`
    to logits `[batch, num_classes]`. 269,722 parameters at depth 20 for three channels and ten classes, 464,154 at 32,
    853,018 at 56, with shortcuts or without.

    depth: layers with weights: 20, 32, 44, 56, 110, ...
    shortcuts: False for the plain twin, the same network without them.
    stem: "full" computes the stages at the image's own size, as the paper does; "pool" halves it first by the largest
        of each 2 × 2 pixels behind the first convolution, at a quarter of the cost and with the same parameters.
    zero_init: start each block's last norm at scale 0, so that at first a block is its shortcut (Goyal et al., 2017,
        arXiv 1706.02677); not in the paper, and of no use in the plain twin, where it is left out.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        depth: int = 20,
        shortcuts: bool = True,
        stem: Stem = "full",
        zero_init: bool = False,
    ) -> None:
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            below = max(8, depth - (depth - 2) % 6)
            raise UserError(f"model.network.depth: found {depth}, expected 6n + 2, such as {below} or {below + 6}")
        if stem not in ("full", "pool"):
            raise UserError(f"model.network.stem: found {stem!r}, expected full or pool")
        blocks = (depth - 2) // 6
        self.conv = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2, ceil_mode=True) if stem == "pool" else nn.Identity()
        self.norm = nn.BatchNorm2d(16)
        self.stages = nn.Sequential(
            _stage(16, 16, blocks, 1, shortcuts),
            _stage(16, 32, blocks, 2, shortcuts),
            _stage(32, 64, blocks, 2, shortcuts),
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, num_classes))
        self._initialise(zero_init and shortcuts)
        self.to(memory_format=torch.channels_last)  # the faster layout for convolutions on a CPU

    def _initialise(self, zero_init: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if zero_init and isinstance(module, BasicBlock):
                nn.init.zeros_(module.norm2.weight)

    def forward(self, images: Tensor) -> Tensor:
        x = self.pool(self.conv(images.contiguous(memory_format=torch.channels_last)))
        return self.head(self.stages(F.relu(self.norm(x))))


def _stage(in_channels: int, out_channels: int, blocks: int, stride: int, shortcut: bool) -> nn.Sequential:
    first = BasicBlock(in_channels, out_channels, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(out_channels, out_channels, 1, shortcut) for _ in range(blocks - 1)))


class TorchvisionResNet(nn.Module):
    """A residual network of torchvision, by its name there, untrained.

    `[batch, in_channels, height, width]` to logits `[batch, num_classes]`. They are made for photos of 224 pixels a
    side, of which the last stage sees a 32nd; images should have 32 pixels a side at least.

    name: resnet18, resnet34, resnet50, resnext50_32x4d, wide_resnet50_2, ...
    """

    def __init__(self, in_channels: int, num_classes: int, name: str = "resnet18") -> None:
        super().__init__()
        known = _names_at_torchvision()
        if name not in known:
            raise UserError(
                f"model.network.name: found {name!r}, expected one of {', '.join(known)}{nearest(name, known)}"
            )
        self.resnet = torchvision.models.get_model(name, weights=None, num_classes=num_classes)
        if in_channels != 3:
            first = self.resnet.conv1
            self.resnet.conv1 = nn.Conv2d(in_channels, first.out_channels, 7, stride=2, padding=3, bias=False)
            nn.init.kaiming_normal_(self.resnet.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        return self.resnet(images.contiguous(memory_format=torch.channels_last))


def _names_at_torchvision() -> list[str]:
    models, home = torchvision.models, torchvision.models.resnet.__name__
    return [name for name in models.list_models(module=models) if models.get_model_builder(name).__module__ == home]
