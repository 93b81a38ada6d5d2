"""Two small networks without dropout, whose draws would differ from one way of cutting a batch to another."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F


class SmallCNN(nn.Sequential):
    r"""For each of `channels` a block :math:`h \leftarrow \text{pool}(\text{GELU}(\text{norm}(W * h)))`, then a linear
    map.

    `[batch, in_channels, height, width]` to logits `[batch, num_classes]`. GELU and average pooling are smooth:
    rounding moves the gradient by rounding, where ReLU and max-pooling would now and then choose another branch.

    norm: "none", or "batch" for BatchNorm, which couples the samples that are computed together.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: int | Sequence[int],
        num_classes: int,
        channels: Sequence[int] = (16, 32, 64),
        norm: Literal["none", "batch"] = "none",
    ) -> None:
        layers: list[nn.Module] = []
        for inner, outer in pairwise([in_channels, *channels]):
            layers.append(nn.Conv2d(inner, outer, 3, padding=1, bias=norm == "none"))
            layers += [nn.BatchNorm2d(outer)] if norm == "batch" else []
            layers += [nn.GELU(), nn.AvgPool2d(2, ceil_mode=True)]
        sides = (image_size, image_size) if isinstance(image_size, int) else image_size
        height, width = (-(-side // 2 ** len(channels)) for side in sides)  # each block halves, rounding up
        super().__init__(*layers, nn.Flatten(), nn.Linear(channels[-1] * height * width, num_classes))


class CausalCNN(nn.Module):
    r"""Next-token logits from the last tokens only: residual causal convolutions over time,
    :math:`h_t \leftarrow h_t + \text{GELU}(\sum_{k<K} W_k h_{t-k})`.

    Tokens `[batch, time]`, filled up at the end with `padding_idx`, to logits `[batch, time, vocab_size]`; those at t
    are for the token at t + 1 and see no token after t, hence no padding.
    """

    def __init__(
        self,
        vocab_size: int,
        padding_idx: int = 0,
        embedding_dim: int = 48,
        num_layers: int = 2,
        kernel_size: int = 3,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx)
        self.layers = nn.ModuleList(nn.Conv1d(embedding_dim, embedding_dim, kernel_size) for _ in range(num_layers))
        self.head = nn.Linear(embedding_dim, vocab_size)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.embedding(tokens).transpose(1, 2)
        for layer in self.layers:
            hidden = hidden + F.gelu(layer(F.pad(hidden, (self.kernel_size - 1, 0))))
        return self.head(hidden.transpose(1, 2))
