"""Three networks for classification: a linear map, a multilayer perceptron and a small convolutional network."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from tenfold.errors import UserError


class LogisticRegression(nn.Module):
    r"""A linear map :math:`W x + b` from `[batch, in_features]`, or what flattens to it, to logits
    `[batch, num_classes]`.

    It starts at zero, the uniform guess: the problem is convex, and one start is as good as another.
    """

    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, num_classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.linear(inputs.flatten(1))


class MLP(nn.Sequential):
    r"""Hidden layers :math:`h \leftarrow \text{dropout}(\text{GELU}(\text{BatchNorm}(W h)))`, then a linear map.

    `[batch, in_features]`, or what flattens to it, to logits `[batch, num_classes]`.
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
    r"""One block for each of `channels`, each halving height and width; then the largest activation of every channel,
    and a linear map.

    A block is convolution, max-pooling, BatchNorm, GELU, convolution, BatchNorm, GELU: to pool before the norm makes
    all that follows four times cheaper. `[batch, in_channels, height, width]`, both sides at least
    :math:`2^{\text{blocks}}` pixels, to logits `[batch, num_classes]`. The blocks are airbench's (arXiv:2404.00498).
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int | Sequence[int],
        num_classes: int,
        channels: Sequence[int] = (24, 48, 96),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        side = image_size if isinstance(image_size, int) else min(image_size)
        if side < 2 ** len(channels):
            raise UserError(
                f"channels: found {len(channels)} widths, each of which halves the image; "
                f"expected at most {side.bit_length() - 1} for {side} pixels a side"
            )
        widths = [in_channels, *channels]
        self.blocks = nn.Sequential(*(self._block(*pair) for pair in pairwise(widths)))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(widths[-1], num_classes))
        self.to(memory_format=torch.channels_last)  # the faster layout for convolutions on a CPU

    def forward(self, images: Tensor) -> Tensor:
        features = self.blocks(images.contiguous(memory_format=torch.channels_last))
        return self.head(features.amax((2, 3)))  # not AdaptiveMaxPool2d, which torch 2.11 does not write as ONNX

    @staticmethod
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
