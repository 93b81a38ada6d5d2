"""The velocity of a flow, as a small U-Net."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.errors import check_number
from tenfold.topics.conditional_generation.blocks import SteeredBlock, TimeEmbedding, check_sides, group_norm


class VelocityUNet(nn.Module):
    """The velocity of an image `[batch, in_channels, height, width]` at a time `[batch]`, under a label `[batch]`.

    A U-Net (arXiv 1505.04597) on patches of 2 × 2 pixels: `depth` blocks, halved once more, `depth` blocks, and back,
    with what the way down saw beside it. Sides are multiples of 4. Time and label are added and steer every block. The
    label `num_classes` is the empty condition, for the flow of all classes together.

    width: channels at half the image's side; twice as many at a quarter.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: tuple[int, int],
        num_classes: int,
        width: int = 48,
        depth: int = 2,
        condition_dim: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_sides(image_size, 4)
        check_number("model.network.depth", depth, 1)
        self.time = TimeEmbedding(condition_dim)
        self.label = nn.Embedding(num_classes + 1, condition_dim)
        self.stem = nn.Conv2d(4 * in_channels, width, 3, padding=1)
        self.down, self.middle, self.up = (
            nn.ModuleList(SteeredBlock(inside, outside, condition_dim, dropout) for inside, outside in blocks)
            for blocks in (
                [(width, width)] * depth,
                [(2 * width, 2 * width)] * depth,
                [(2 * width, width)] + [(width, width)] * (depth - 1),
            )
        )
        self.halve = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.enlarge = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.head = nn.Sequential(group_norm(width), nn.SiLU(), nn.Conv2d(width, 4 * in_channels, 3, padding=1))
        nn.init.zeros_(self.head[2].weight)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # the faster layout for convolutions on a CPU

    def forward(self, images: Tensor, time: Tensor, labels: Tensor) -> Tensor:
        condition = F.silu(self.time(time) + self.label(labels))
        patches = F.pixel_unshuffle(images, 2).contiguous(memory_format=torch.channels_last)
        x = seen = self._through(self.down, self.stem(patches), condition)
        x = self.enlarge(self._through(self.middle, self.halve(x), condition))
        x = self._through(self.up, torch.cat([x, seen], dim=1), condition)
        return F.pixel_shuffle(self.head(x), 2)

    @staticmethod
    def _through(blocks: nn.ModuleList, x: Tensor, condition: Tensor) -> Tensor:
        for block in blocks:
            x = block(x, condition)
        return x
