"""Encoder and decoder of a conditional variational autoencoder for images."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.errors import check_number
from tenfold.topics.conditional_generation.blocks import SteeredBlock, check_sides, group_norm


class Encoder(nn.Module):
    """Mean and log variance `[batch, latent_size]` each of the posterior q(z | x, y), from pixels
    `[batch, in_channels, height, width]` and labels `[batch]`.

    One block at half the image's side and one at a quarter, with twice the channels; the label steers both.
    """

    def __init__(
        self, in_channels: int, image_size: tuple[int, int], num_classes: int, latent_size: int, width: int, dim: int
    ) -> None:
        super().__init__()
        self.label = nn.Embedding(num_classes, dim)
        self.stem = nn.Conv2d(4 * in_channels, width, 3, padding=1)
        self.first = SteeredBlock(width, width, dim)
        self.halve = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.second = SteeredBlock(2 * width, 2 * width, dim)
        places = image_size[0] * image_size[1] // 16
        self.head = nn.Sequential(
            group_norm(2 * width), nn.SiLU(), nn.Flatten(), nn.Linear(2 * width * places, 2 * latent_size)
        )

    def forward(self, pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        condition = self.label(labels)
        patches = F.pixel_unshuffle(2 * pixels - 1, 2).contiguous(memory_format=torch.channels_last)
        x = self.first(self.stem(patches), condition)
        mean, log_variance = self.head(self.second(self.halve(x), condition)).chunk(2, dim=1)
        return mean, log_variance


class Decoder(nn.Module):
    """Pixels from 0 to 1, `[batch, in_channels, height, width]`, from z `[batch, latent_size]` and labels `[batch]`:
    the mean of p(x | z, y); `logits` are those pixels before the sigmoid.

    The label meets z at the entrance and steers, with z, every block: it cannot be overlooked.
    """

    def __init__(
        self, in_channels: int, image_size: tuple[int, int], num_classes: int, latent_size: int, width: int, dim: int
    ) -> None:
        super().__init__()
        self.shape = 2 * width, image_size[0] // 4, image_size[1] // 4
        self.label = nn.Embedding(num_classes, dim)
        self.condition = nn.Sequential(nn.Linear(latent_size + dim, dim), nn.SiLU())
        self.stem = nn.Linear(dim, self.shape[0] * self.shape[1] * self.shape[2])
        self.first = nn.ModuleList(SteeredBlock(2 * width, 2 * width, dim) for _ in range(2))
        self.enlarge = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.second = nn.ModuleList(SteeredBlock(width, width, dim) for _ in range(2))
        self.head = nn.Sequential(group_norm(width), nn.SiLU(), nn.Conv2d(width, 4 * in_channels, 3, padding=1))

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        return self.logits(latents, labels).sigmoid()

    def logits(self, latents: Tensor, labels: Tensor) -> Tensor:
        condition = self.condition(torch.cat([latents, self.label(labels)], dim=1))
        x = self.stem(condition).unflatten(1, self.shape).contiguous(memory_format=torch.channels_last)
        for block in self.first:
            x = block(x, condition)
        x = self.enlarge(x)
        for block in self.second:
            x = block(x, condition)
        return F.pixel_shuffle(self.head(x), 2)


class VAE(nn.Module):
    """The two networks of a conditional variational autoencoder; sides of an image are multiples of 4.

    `log_variance`, of each pixel around its mean, is there where pixels are normal.

    latent_size: of z.
    width: channels at half the image's side; twice as many at a quarter.
    condition_dim: of the label's embedding, and of what steers the decoder.
    """

    log_variance: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        image_size: tuple[int, int],
        num_classes: int,
        latent_size: int = 32,
        width: int = 32,
        condition_dim: int = 128,
    ) -> None:
        super().__init__()
        check_number("model.network.latent_size", latent_size, 1)
        check_sides(image_size, 4)
        self.latent_size = latent_size
        self.register_parameter("log_variance", None)
        shape = (in_channels, image_size, num_classes, latent_size, width, condition_dim)
        self.encoder, self.decoder = Encoder(*shape), Decoder(*shape)
        self.to(memory_format=torch.channels_last)  # the faster layout for convolutions on a CPU
