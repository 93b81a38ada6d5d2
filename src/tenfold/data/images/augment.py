"""Augmentations of a batch `[batch, channels, height, width]`: each sample drawn apart, all from one generator."""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Generator, Tensor
from torch.nn import functional


class Augmentation(Protocol):
    """Takes a batch and a generator on the batch's device; gives a new batch of the same shape."""

    def __call__(self, images: Tensor, generator: Generator) -> Tensor: ...


class Compose:
    """One augmentation after another."""

    def __init__(self, augmentations: Sequence[Augmentation]) -> None:
        self.augmentations = list(augmentations)

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        for augment in self.augmentations:
            images = augment(images, generator)
        return images


class Warp:
    r"""A random affine map and a random smooth displacement, in one bilinear resampling.

    Output pixel :math:`p` (from the centre, in pixels) is read at :math:`A p + t + d(p)`, with
    :math:`A = s \, R(\theta) \, (1, \tan\phi; 0, 1)`; all are uniform: :math:`\theta` in ± `degrees`, :math:`\phi` in
    ± `shear` degrees, :math:`\log s` in ± log(1 + `scale`), :math:`t` in ± `translate` pixels. :math:`d` is Gaussian
    of `elastic` pixels on a coarse grid of `cells` × `cells` points, bicubic between them. Outside the image the
    border goes on, so that a background is kept whatever the normalisation.
    """

    def __init__(
        self,
        degrees: float = 0.0,
        translate: float = 0.0,
        scale: float = 0.0,
        shear: float = 0.0,
        elastic: float = 0.0,
        cells: int = 4,
    ) -> None:
        self.degrees, self.translate, self.scale, self.shear = degrees, translate, scale, shear
        self.elastic, self.cells = elastic, cells

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        grid = functional.affine_grid(self._affine(images, generator), list(images.shape), align_corners=False)
        if self.elastic:
            grid = grid + self._displacement(images, generator)
        return functional.grid_sample(images, grid.to(images.dtype), padding_mode="border", align_corners=False)

    def _affine(self, images: Tensor, generator: Generator) -> Tensor:
        """`[batch, 2, 3]` in grid_sample's coordinates, where the image spans −1 to 1 both ways."""
        batch, _, height, width = images.shape
        draw = torch.rand(5, batch, generator=generator, device=images.device) * 2 - 1
        angle, shear = math.radians(self.degrees) * draw[0], (math.radians(self.shear) * draw[1]).tan()
        scale = (math.log1p(self.scale) * draw[2]).exp()
        x, y = self.translate * draw[3] * 2 / width, self.translate * draw[4] * 2 / height
        cos, sin, aspect = scale * angle.cos(), scale * angle.sin(), height / width
        rows = [cos, (cos * shear - sin) * aspect, x, sin / aspect, sin * shear + cos, y]
        return torch.stack(rows, dim=1).view(batch, 2, 3)

    def _displacement(self, images: Tensor, generator: Generator) -> Tensor:
        """`[batch, height, width, 2]` in grid_sample's coordinates."""
        batch, _, height, width = images.shape
        knots = torch.randn(batch, 2, self.cells, self.cells, generator=generator, device=images.device)
        knots *= 2 * self.elastic / torch.tensor([width, height], device=images.device).view(2, 1, 1)
        smooth = functional.interpolate(knots, size=(height, width), mode="bicubic", align_corners=True)
        return smooth.permute(0, 2, 3, 1)


class Flip:
    """Left and right exchanged, each image with probability a half."""

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        chosen = torch.rand(len(images), generator=generator, device=images.device) < 0.5
        return torch.where(chosen.view(-1, 1, 1, 1), images.flip(3), images)


class Shift:
    """Moved by whole pixels, uniform in ± `pixels` both ways; the edge is reflected."""

    def __init__(self, pixels: int) -> None:
        self.pixels = pixels

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        batch, _, height, width = images.shape
        padded = functional.pad(images, [self.pixels] * 4, mode="reflect")
        start = torch.randint(2 * self.pixels + 1, (2, batch, 1), generator=generator, device=images.device)
        rows = start[0] + torch.arange(height, device=images.device)
        columns = start[1] + torch.arange(width, device=images.device)
        sample = torch.arange(batch, device=images.device).view(-1, 1, 1)
        return padded[sample, :, rows.unsqueeze(2), columns.unsqueeze(1)].permute(0, 3, 1, 2).contiguous()
