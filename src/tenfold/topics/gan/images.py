"""GANs of images, told what they are worth by a judge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from tenfold.data.base import DataModule
from tenfold.data.images.spec import ImageSpec
from tenfold.data.labels import asked_labels
from tenfold.engine.accumulation import Sums
from tenfold.engine.gather import Gathered
from tenfold.engine.module import Stage, TenfoldModule
from tenfold.engine.request import Request
from tenfold.judge import (
    Judge,
    class_coverage,
    copied_share,
    distances,
    frechet_distance,
    grid_figure,
    label_agreement,
    write_grid,
)
from tenfold.topics.gan.module import GAN, Drawn, Sampling

if TYPE_CHECKING:
    from tenfold.callbacks.pictures import Picture


class ImageGAN(GAN):
    """Images in pixels from 0 to 1; the other arguments are `GAN`'s.

    judge: the address of a classification run of the same images, whose features the samples are measured by.
    """

    metrics = {
        "fid": "min",
        "fid_floor": "min",
        "classes": "max",
        "kid": "min",
        "precision": "max",
        "recall": "max",
        "copied": "min",
    }
    dashboard: ClassVar[tuple[str, ...]] = (
        "train/discriminator",
        "train/generator",
        "val/fid",
        "val/classes",
        "val/samples",
        "test/samples",
    )
    companions = ("judge",)
    spec: ImageSpec

    def __init__(self, spec: ImageSpec, judge: str | None = None, **options: Any) -> None:
        super().__init__(spec, **options)
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (spec.mean, spec.std))
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self.gathered: dict[str, tuple[Gathered, Gathered]] = {}
        self.evaluated: dict[str, Tensor] = {}  # samples of the last pass
        self._known: Tensor | None = None  # the judge's features of training images

    mean: Tensor
    std: Tensor

    def welcome(self, name: str, companion: TenfoldModule) -> None:
        Judge(companion).require(self.spec, self.config.get("data", {}))
        super().welcome(name, companion)

    def real(self, inputs: Tensor) -> Tensor:
        return inputs * self.std + self.mean

    # Evaluation ------------------------------------------------------------------------------------------------------

    def prepare(self, data: DataModule) -> None:
        self.judge()  # is there, or is missed before anything is trained

    def judge(self) -> Judge:
        return Judge(self.companion("judge"))

    def evaluate(self, batch: Drawn, stage: Stage) -> Sums:
        judge = self.judge()
        if stage not in self.gathered:
            self.gathered[stage] = Gathered(), Gathered()
            samples = self.make_share(stage)
            self.gathered[stage][1].add(samples.float(), *judge.look(samples))
        pixels = self.real(batch.inputs)
        self.gathered[stage][0].add(pixels.float(), judge.look(pixels).features)
        return super().evaluate(batch, stage)

    def measure(self, stage: Stage) -> dict[str, float]:
        """On validation data what chooses the checkpoint, and the floor; on test data the distances that cost more."""
        reals, fakes = self.gathered.pop(stage)
        (pixels, features), (samples, seen, logits) = reals.all(), fakes.all()
        self.evaluated[stage] = samples
        values = {"fid": frechet_distance(features, seen)}
        values["fid_floor"] = frechet_distance(features, self.training_features())
        values["classes"] = float(class_coverage(logits).classes)
        if self.num_classes:
            values["agreement"] = label_agreement(logits, torch.arange(len(logits)) % self.num_classes)
        if stage == "test":
            every = self.training_images(torch.arange(len(self.trainer.datamodule.splits["train"])))  # type: ignore[attr-defined]
            values |= distances(features, seen) | {"copied": copied_share(samples, every, pixels)}
        return values

    def training_images(self, rows: Tensor) -> Tensor:
        """In pixels from 0 to 1."""
        train = self.trainer.datamodule.splits["train"]  # type: ignore[attr-defined]
        return train.fetch(rows).inputs.float() / 255

    def training_features(self) -> Tensor:
        """The judge's, of as many training images as samples are made: a perfect copier's work."""
        if self._known is None:
            size = len(self.trainer.datamodule.splits["train"])  # type: ignore[attr-defined]
            rows = torch.randperm(size, generator=torch.Generator().manual_seed(0))[: self.eval_samples]
            pixels = self.training_images(rows).to(self.device, self.dtype)  # type: ignore[arg-type]
            self._known = self.judge().look(pixels).features.cpu()
        return self._known

    def pictures(self, stage: Stage) -> dict[str, Picture]:
        columns = self.num_classes or 10
        samples = self.evaluated[stage][: 10 * columns if columns <= 20 else 100]
        return {f"{stage}/samples": grid_figure(samples, "Samples of always the same noise", columns)}

    def preprocessing(self) -> dict[str, str]:
        given = self.spec.preprocessing()
        made = {"output": f"{given['input']}, pixels from 0 to 1"}
        return super().preprocessing() | made | ({"class_names": given["class_names"]} if self.num_classes else {})

    # Answers ---------------------------------------------------------------------------------------------------------

    def predict(self, request: Request) -> Iterator[dict[str, Any] | str]:
        """A grid of new images."""
        options = request.options
        assert request.output is not None
        labels, told = self.asked(options)
        samples = self.make(options.n, options.seed, labels, request.batch_size)
        write_grid(samples, request.output)
        yield {"output": str(request.output), "n": options.n, **told, "seed": options.seed}

    def asked(self, options: Sampling) -> tuple[Tensor | None, dict[str, Any]]:
        """The classes that are asked for, and what the answer says of them."""
        return None, {}


@dataclass(frozen=True)
class ConditionalSampling(Sampling):
    """condition: the class to make samples of, by name; None: all classes in turn."""

    condition: str | int | None = None


class ConditionalImageGAN(ImageGAN):
    """As `ImageGAN`, with networks that are told the class."""

    metrics = {**ImageGAN.metrics, "agreement": "max"}
    dashboard = (*ImageGAN.dashboard, "val/agreement")
    options_class = ConditionalSampling

    def asked(self, options: Any) -> tuple[Tensor | None, dict[str, Any]]:
        if options.condition is None:
            return None, {"condition": "all in turn"}
        labels = asked_labels(options.n, options.condition, self.spec.class_names)
        return labels, {"condition": str(options.condition)}
