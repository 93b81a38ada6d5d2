"""Three networks for classification, from a straight line to a small residual-free convolutional network."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tenfold.errors import UserError


class LogisticRegression(nn.Module):
    r"""A linear map, :math:`z = W x + b`; the softmax is in the loss.

    `[batch, in_features]`, or anything that flattens to it, to logits `[batch, num_classes]`.
    """

    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, num_classes)
        nn.init.zeros_(self.linear.weight)  # convex: the start needs no random numbers, and zero is the uniform guess
        nn.init.zeros_(self.linear.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.linear(inputs.flatten(1))


class MLP(nn.Sequential):
    r"""Hidden layers :math:`h \leftarrow \text{dropout}(\text{GELU}(\text{BatchNorm}(W h)))`, then a linear map.

    `[batch, in_features]`, or anything that flattens to it, to logits `[batch, num_classes]`.
    """

    def __init__(
        self, in_features: int, num_classes: int, hidden: Sequence[int] = (256, 256), dropout: float = 0.0
    ) -> None:
        layers: list[nn.Module] = [nn.Flatten()]
        for width in hidden:
            layers += [nn.Linear(in_features, width, bias=False), nn.BatchNorm1d(width), nn.GELU(), nn.Dropout(dropout)]
            in_features = width
        super().__init__(*layers, nn.Linear(in_features, num_classes))


class CNN(nn.Module):
    r"""A stem and one block for each of `channels`, each block halving height and width; then the largest activation
    of each channel, and a linear map.

    A block is convolution, max-pooling, BatchNorm, GELU, convolution, BatchNorm, GELU: pooling before the norm makes
    the rest four times cheaper. `[batch, in_channels, height, width]` to logits `[batch, num_classes]`, for any image
    of at least :math:`2^{\text{len(channels)}}` pixels a side. The form is that of airbench (arXiv:2404.00498).
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int | Sequence[int],
        num_classes: int,
        channels: Sequence[int] = (32, 64, 64),
        stem_channels: int = 16,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        side = image_size if isinstance(image_size, int) else min(image_size)
        if side < 2 ** len(channels):
            raise UserError(
                f"channels: {len(channels)} blocks halve an image of {side} pixels to nothing, "
                f"give at most {max(side, 1).bit_length() - 1}"
            )
        self.stem = nn.Sequential(nn.Conv2d(in_channels, stem_channels, 3, padding=1), nn.GELU())
        widths = [stem_channels, *channels]
        self.blocks = nn.Sequential(*map(_block, widths, widths[1:]))
        self.head = nn.Sequential(
            nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(widths[-1], num_classes)
        )
        # Convolutions on a CPU, and on a GPU in half precision, are faster with the channels last in memory.
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        images = images.contiguous(memory_format=torch.channels_last)
        return self.head(self.blocks(self.stem(images)))


def _block(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(out_channels),
        nn.GELU(),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.GELU(),
    )
