"""What a network must know of images, and how pictures are read for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from tenfold.config.spec import DataSpec


@dataclass(frozen=True)
class ImageSpec(DataSpec):
    """Images of one size with a class each.

    mean, std: of each channel over the training split, pixels counting from 0 to 1.
    """

    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]

    provides: ClassVar[frozenset[str]] = frozenset({"in_channels", "image_size", "in_features", "num_classes"})

    def network_arguments(self) -> dict[str, Any]:
        return {
            "in_channels": self.channels,
            "image_size": (self.height, self.width),
            "in_features": self.channels * self.height * self.width,
            "num_classes": len(self.class_names),
        }

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 `[batch, channels, height, width]` to float32 of mean 0 and deviation 1 in each channel."""
        scale, shift = _scale_and_shift(tuple(self.mean), tuple(self.std), images.device)
        return torch.addcmul(shift, images.float(), scale)

    def read(self, sources: Sequence[str], batch_size: int) -> Iterator[tuple[list[str], Tensor]]:
        """Pictures: files, and folders with their subfolders, sorted by name."""
        from tenfold.data.images.pictures import decode_all, picture_files

        files = picture_files(sources)
        for start in range(0, len(files), batch_size):
            batch = files[start : start + batch_size]
            images = decode_all(batch, self.channels, (self.height, self.width))
            yield [str(path) for path in batch], self.normalise(images)

    def example_inputs(self) -> tuple[Tensor]:
        shape = (2, self.channels, self.height, self.width)
        return (torch.randn(shape, generator=torch.Generator().manual_seed(0)),)

    def preprocessing(self) -> dict[str, str]:
        colour = "grey" if self.channels == 1 else "red, green, blue"
        return {
            "input": f"float32 [batch, {self.channels}, {self.height}, {self.width}], {colour}",
            "size": f"antialiased bilinear resampling to {self.height} x {self.width} (height x width) pixels",
            "scale": "pixel / 255, less the mean, over the standard deviation of its channel",
            "mean": ", ".join(map(str, self.mean)),
            "std": ", ".join(map(str, self.std)),
            "class_names": ", ".join(self.class_names),
        }


@lru_cache(maxsize=16)
def _scale_and_shift(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """`[channels, 1, 1]` each, with which `pixel * scale + shift` is normalised; kept, for a step costs little else."""
    centre, deviation = (torch.tensor(values, dtype=torch.float64).view(-1, 1, 1) for values in (mean, std))
    return (1 / (255 * deviation)).float().to(device), (-centre / deviation).float().to(device)


def pixel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of uint8 `[batch, channels, height, width]`, pixels from 0 to 1.

    Counts how often each of the 256 values occurs, which is exact. A channel that never changes has deviation 1.
    """
    values = torch.arange(256, dtype=torch.float64) / 255
    means, deviations = [], []
    for channel in images.unbind(1):
        share = channel.flatten().bincount(minlength=256) / channel.numel()
        mean = (share * values).sum()
        deviation = (share * (values - mean) ** 2).sum().sqrt()
        means.append(mean.item())
        deviations.append(deviation.item() or 1.0)
    return tuple(means), tuple(deviations)
