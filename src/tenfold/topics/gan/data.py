"""25 Gaussians on a grid: generated points whose distribution is known, for counting the modes that a GAN has lost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from tenfold.config.spec import DataSpec
from tenfold.data.base import DataModule, Labelled, Split
from tenfold.data.loader import Tensors
from tenfold.errors import UserError
from tenfold.topics.gan.modes import mode_metrics


@dataclass(frozen=True)
class PointSpec(DataSpec):
    """Points in the plane from Gaussians of one deviation, all equally likely.

    centres: of the modes; deviation: of each coordinate within a mode; scale: by which points are divided for the
    networks.
    """

    centres: tuple[tuple[float, float], ...]
    deviation: float
    scale: float

    provides: ClassVar[frozenset[str]] = frozenset({"in_features"})

    def network_arguments(self) -> dict[str, Any]:
        return {"in_features": 2}

    def preprocessing(self) -> dict[str, str]:
        return {
            "output": f"float32 [batch, 2], points over {self.scale}",
            "centres": str(self.centres),
            "deviation": str(self.deviation),
        }


class Gaussians25(DataModule):
    """Points from 25 Gaussians, which stand `spacing` apart on a 5 × 5 grid around zero.

    samples: points to train on; a tenth as many to validate on, and to test on.
    deviation: of each coordinate within a mode.
    """

    spec_class = PointSpec
    spec: PointSpec
    splits: dict[str, Any]

    def __init__(self, samples: int = 50_000, spacing: float = 2.0, deviation: float = 0.05, **common: Any) -> None:
        super().__init__(**common)
        if samples < 1000:
            raise UserError(f"data.samples: found {samples}, expected at least 1000")
        if not 0 < deviation < spacing / 6:
            raise UserError(f"data.deviation: found {deviation}, expected above 0 and below data.spacing / 6")
        self.samples, self.spacing, self.deviation = samples, spacing, deviation

    def load(self) -> None:
        ticks = [self.spacing * (i - 2) for i in range(5)]
        centres = tuple((x, y) for x in ticks for y in ticks)
        scale = math.sqrt(2 * self.spacing**2 + self.deviation**2)  # the deviation of all points
        self.spec = PointSpec(centres, self.deviation, scale)
        generator = torch.Generator().manual_seed(self.split_seed)
        sizes = {"train": self.samples, "val": self.samples // 10, "test": self.samples // 10}
        self.splits = {split: Tensors(self._points(size, generator)) for split, size in sizes.items()}

    def _points(self, size: int, generator: torch.Generator) -> Labelled:
        modes = torch.randint(25, (size,), generator=generator)
        noise = torch.randn(size, 2, generator=generator) * self.deviation
        return Labelled((torch.tensor(self.spec.centres)[modes] + noise) / self.spec.scale, modes)

    def baseline(self, split: Split) -> dict[str, float]:
        """One Gaussian with the training points' mean and covariance."""
        points = self.splits["train"].data.inputs * self.spec.scale
        root = torch.linalg.cholesky(torch.cov(points.T))
        noise = torch.randn(10_000, 2, generator=torch.Generator().manual_seed(0))
        return mode_metrics(noise @ root.T + points.mean(0), torch.tensor(self.spec.centres), self.spec.deviation)

    def example(self, split: Split, index: int) -> Tensor | str:
        x, y = (self.splits[split].data.inputs[index] * self.spec.scale).tolist()
        return f"({x:.3f}, {y:.3f})"
