"""Whether samples are copies: their nearest training images, in pixels."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Neighbours(NamedTuple):
    """distance: root mean square difference per pixel to the nearest training image `[n]`; indices: its row `[n]`."""

    distance: Tensor
    indices: Tensor


def nearest_neighbours(pixels: Tensor, training_pixels: Tensor, batch_size: int = 1000) -> Neighbours:
    """The training image that is nearest to each of `pixels`; both `[n, channels, height, width]`."""
    training = training_pixels.flatten(1)
    found = [torch.cdist(part, training).min(1) for part in pixels.flatten(1).split(batch_size)]
    distance = torch.cat([part.values for part in found]) / training.shape[1] ** 0.5
    return Neighbours(distance, torch.cat([part.indices for part in found]))


def copied_share(pixels: Tensor, training_pixels: Tensor, held_out_pixels: Tensor, quantile: float = 0.01) -> float:
    """Share of samples nearer to a training image than all but `quantile` of the held-out real images are.

    About `quantile` where the generator draws anew; 1 where it copies.
    """
    usual = nearest_neighbours(held_out_pixels, training_pixels).distance.quantile(quantile)
    return float((nearest_neighbours(pixels, training_pixels).distance < usual).double().mean())
