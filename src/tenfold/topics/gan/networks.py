"""Generators and discriminators: MLPs for points, DCGAN's convolutions for images.

None has BatchNorm, so that a batch may be cut into micro-batches without any change: the discriminators have no norm,
the generators GroupNorm. With `conditional` a network is told the class, of which the data have `num_classes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from tenfold.errors import UserError, check_number

SLOPE = 0.2  # of the leaky ReLU below zero


class PointGenerator(nn.Module):
    r"""Noise `[batch, latent_size]` to points `[batch, in_features]`: :math:`W z + f(\text{waves}(z))`, f an MLP.

    W begins orthogonal, so that the points begin as wide as the data and the game has modes to fill, not to find; the
    waves, as the discriminator's, let f cut the noise into many pieces, which an MLP alone is slow to learn.
    """

    def __init__(
        self, in_features: int, latent_size: int = 2, hidden: Sequence[int] = (128, 128, 128), octaves: int = 3
    ) -> None:
        super().__init__()
        check_number("model.generator.latent_size", latent_size, 1)
        self.latent_size, self.num_classes, self.octaves = latent_size, 0, octaves
        self.skip = nn.Linear(latent_size, in_features, bias=False)
        nn.init.orthogonal_(self.skip.weight)
        self.layers = nn.Sequential(*_mlp([latent_size * (1 + 2 * octaves), *hidden], in_features))

    def forward(self, noise: Tensor) -> Tensor:
        return self.skip(noise) + self.layers(_with_waves(noise, self.octaves))


class PointDiscriminator(nn.Module):
    r"""Points `[batch, in_features]` to scores `[batch]`, by an MLP.

    It sees each coordinate as :math:`(x, \sin 2^k \pi x, \cos 2^k \pi x)` for k below `octaves` (Fourier features;
    Tancik et al., 2020, arXiv 2006.10739): an MLP alone is slow to learn what changes over a short distance.
    """

    def __init__(self, in_features: int, hidden: Sequence[int] = (128, 128, 128), octaves: int = 5) -> None:
        super().__init__()
        self.octaves = octaves
        self.layers = nn.Sequential(*_mlp([in_features * (1 + 2 * octaves), *hidden], 1))

    def forward(self, points: Tensor) -> Tensor:
        return self.layers(_with_waves(points, self.octaves)).squeeze(1)


def _with_waves(values: Tensor, octaves: int) -> Tensor:
    """`[batch, features]` to `[batch, features * (1 + 2 * octaves)]`."""
    angles = [2**k * torch.pi * values for k in range(octaves)]
    waves = [wave for angle in angles for wave in (angle.sin(), angle.cos())]
    return torch.cat([values, *waves], dim=1)


def _mlp(widths: Sequence[int], out_features: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for pair in pairwise(widths):
        check_number("model: a width in hidden", pair[1], 1)
        layers += [nn.Linear(*pair), nn.LeakyReLU(SLOPE)]
    return [*layers, nn.Linear(widths[-1], out_features)]


class ImageGenerator(nn.Module):
    """Noise `[batch, latent_size]` (and classes `[batch]`) to images `[batch, in_channels, height, width]`, 0 to 1.

    A linear map to a small image, then transposed convolutions that each double its sides, as DCGAN (Radford et al.,
    2016, arXiv 1511.06434); the class's embedding stands beside the noise.

    channels: of the small image and after each doubling but the last, which gives the picture.
    """

    def __init__(
        self,
        in_channels: int,
        image_size: Sequence[int],
        num_classes: int = 0,
        conditional: bool = False,
        latent_size: int = 64,
        channels: Sequence[int] = (128, 64),
    ) -> None:
        super().__init__()
        check_number("model.generator.latent_size", latent_size, 1)
        self.latent_size, self.num_classes = latent_size, num_classes if conditional else 0
        scale = 2 ** len(channels)
        if any(side % scale for side in image_size):
            raise UserError(
                f"generator.channels: found {len(channels)} widths, each of which doubles the sides; expected a power "
                f"of two that divides {' and '.join(map(str, image_size))}"
            )
        self.small = (channels[0], *(side // scale for side in image_size))
        self.embedding = nn.Embedding(num_classes, latent_size) if conditional else None
        width = latent_size * (2 if conditional else 1)
        self.first = nn.Linear(width, self.small[0] * self.small[1] * self.small[2])
        self.blocks = nn.ModuleList(_doubling(*pair) for pair in pairwise(channels))
        self.norms = nn.ModuleList(nn.GroupNorm(8, count) for count in channels)
        self.last = _doubling(channels[-1], in_channels)

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.embedding is not None:
            assert labels is not None
            noise = torch.cat([noise, self.embedding(labels)], dim=1)
        hidden = self.first(noise).unflatten(1, self.small)
        hidden = functional.leaky_relu(self.norms[0](hidden), SLOPE)
        for block, norm in zip(self.blocks, list(self.norms)[1:], strict=True):
            hidden = functional.leaky_relu(norm(block(hidden)), SLOPE)
        return torch.sigmoid(self.last(hidden))


def _doubling(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1)


class ImageDiscriminator(nn.Module):
    r"""Images `[batch, in_channels, height, width]`, 0 to 1 (and classes `[batch]`), to scores `[batch]`.

    Convolutions that each halve the sides, then :math:`D(x, y) = w^T h(x) + e_y^T h(x)`, where the second term is
    there with classes only: the projection of Miyato & Koyama (2018, arXiv 1802.05637).
    """

    def __init__(
        self,
        in_channels: int,
        image_size: Sequence[int],
        num_classes: int = 0,
        conditional: bool = False,
        channels: Sequence[int] = (32, 64, 128),
        features: int = 128,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        sides = list(image_size)
        for pair in pairwise([in_channels, *channels]):
            layers += [nn.Conv2d(*pair, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
            sides = [side // 2 for side in sides]
        if min(sides) < 1:
            raise UserError(
                f"discriminator.channels: {len(channels)} halvings leave nothing of {min(image_size)} pixels"
            )
        flat = channels[-1] * sides[0] * sides[1]
        self.features = nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, features), nn.LeakyReLU(SLOPE))
        self.score = nn.Linear(features, 1)
        self.embedding = nn.Embedding(num_classes, features) if conditional else None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        hidden = self.features(2 * images - 1)
        score = self.score(hidden).squeeze(1)
        if self.embedding is not None:
            assert labels is not None
            score = score + (self.embedding(labels) * hidden).sum(1) / hidden.shape[1] ** 0.5
        return score
