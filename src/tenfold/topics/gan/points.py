"""A GAN of points in the plane, whose modes are counted."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tenfold.engine.accumulation import Sums
from tenfold.engine.gather import Gathered
from tenfold.engine.module import Stage
from tenfold.engine.request import Request
from tenfold.errors import UserError
from tenfold.topics.gan.data import PointSpec
from tenfold.topics.gan.modes import mode_metrics
from tenfold.topics.gan.module import GAN, Drawn

if TYPE_CHECKING:
    from tenfold.callbacks.pictures import Picture


class PointGAN(GAN):
    """Points of the known mixture that the spec describes; the arguments are `GAN`'s."""

    metrics = {"divergence": "min", "good": "max", "modes": "max"}
    dashboard = ("train/discriminator", "train/generator", "val/good", "val/modes", "val/samples", "test/samples")
    spec: PointSpec

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.gathered: dict[str, Gathered] = {}
        self.evaluated: dict[str, Tensor] = {}

    def evaluate(self, batch: Drawn, stage: Stage) -> Sums:
        if stage not in self.gathered:
            self.gathered[stage] = Gathered()
            self.gathered[stage].add(self.make_share(stage).float() * self.spec.scale)
        return super().evaluate(batch, stage)

    def measure(self, stage: Stage) -> dict[str, float]:
        (points,) = self.gathered.pop(stage).all()
        self.evaluated[stage] = points
        return mode_metrics(points, torch.tensor(self.spec.centres), self.spec.deviation)

    def pictures(self, stage: Stage) -> dict[str, Picture]:
        from tenfold.topics.gan.pictures import scatter

        return {f"{stage}/samples": scatter(self.evaluated[stage], self.spec.centres, self.spec.deviation)}

    def preprocessing(self) -> dict[str, str]:
        return super().preprocessing() | self.spec.preprocessing()

    def predict(self, request: Request) -> Iterator[dict[str, Any] | str]:
        """Points drawn over the centres, in one picture."""
        options = request.options
        assert request.output is not None
        points = self.make(options.n, options.seed, batch_size=request.batch_size).float().cpu() * self.spec.scale
        _write(points, self.spec, request.output)
        yield {"output": str(request.output), "n": options.n, "seed": options.seed}


def _write(points: Tensor, spec: PointSpec, path: Path) -> None:
    from PIL import Image

    from tenfold.callbacks.figures import render
    from tenfold.topics.gan.pictures import scatter

    temporary = path.with_name(f"{path.name}.part")
    try:
        Image.fromarray(render(scatter(points, spec.centres, spec.deviation))).save(temporary, format="PNG")
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"output: {path} cannot be written ({error.strerror})") from error
    finally:
        temporary.unlink(missing_ok=True)
