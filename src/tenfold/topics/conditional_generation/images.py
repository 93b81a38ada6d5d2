"""What both image generators share: the judge, its scores, pictures, and `tenfold predict`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Generator, Tensor

from tenfold.data.base import DataModule
from tenfold.data.images.spec import ImageSpec
from tenfold.data.labels import asked_labels
from tenfold.engine.gather import Gathered
from tenfold.engine.module import Stage, TenfoldModule
from tenfold.engine.request import Request
from tenfold.errors import UserError
from tenfold.judge import (
    Judge,
    Seen,
    copied_share,
    distances,
    grid_figure,
    label_agreement,
    nearest_neighbours,
    real_floor,
    samples_only_accuracy,
    write_grid,
)
from tenfold.topics.classification.metrics import bootstrap_interval
from tenfold.topics.conditional_generation.subset import spread

if TYPE_CHECKING:
    from tenfold.callbacks.pictures import Picture

#: What the judge says, by name and which way is better.
SCORES: dict[str, Literal["max", "min"]] = {
    "label_agreement": "max",  # samples that it takes for the class that was asked for
    "fid": "min",
    "kid": "min",
    "precision": "max",
    "recall": "max",
    "fid_floor": "min",  # of real images against real ones, as many
    "copied": "min",  # samples nearer to a training image than all but 1 % of unseen real images are
    "samples_only_accuracy": "max",
}
SAMPLING_BATCH = 250  # images made at once; limits memory


class ImageGenerator(TenfoldModule):
    """Makes images of an asked-for class from noise, and has a judge look at them.

    A subclass says what noise it starts from (`noise_shape`) and what it makes of it (`pixels_from`), and which of its
    settings (temperature, guidance) a person may change when sampling (`setting_of`).

    judge: the address of a classifier's run; None for no scores but the loss.
    num_samples: images made after each validation; test_samples: after the test. The distances compare as many with as
        many real images, and need as many again for their floor: at most half the split is used.
    samples_only: images on which a classifier is trained, after the test, that is then measured on real ones; 0: none.
    """

    companions = ("judge",)
    answer_file = "samples.png"
    takes_input = False
    spec: ImageSpec

    def __init__(
        self, spec: ImageSpec, judge: str | None, num_samples: int, test_samples: int, samples_only: int, setting: float
    ) -> None:
        super().__init__(spec)
        for name, count in (("num_samples", num_samples), ("test_samples", test_samples)):
            if count < 2:
                raise UserError(f"model.{name}: found {count}, expected at least 2")
        if samples_only < 0:
            raise UserError(f"model.samples_only: found {samples_only}, expected at least 0")
        self.judge = judge
        self.samples = {"val": num_samples, "test": test_samples}
        self.samples_only, self.setting = samples_only, setting
        self.gathered: dict[str, Gathered] = {}
        self.evaluated: dict[str, tuple[Tensor, Tensor]] = {}  # pixels and labels of the last samples made
        self.agrees: dict[str, Tensor] = {}

    # What a subclass implements --------------------------------------------------------------------------------------

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """Of the noise that one sample is made of."""
        raise NotImplementedError

    def pixels_from(self, noise: Tensor, labels: Tensor, setting: float) -> Tensor:
        """Pixels from 0 to 1, `[batch, channels, height, width]`."""
        raise NotImplementedError

    def setting_of(self, options: Any) -> float:
        """The setting that `tenfold predict` was given, or the model's own. Raises `UserError`."""
        raise NotImplementedError

    # Samples and what the judge says of them -------------------------------------------------------------------------

    def sample(self, labels: Tensor, seed: int, setting: float | None = None, at_once: int = SAMPLING_BATCH) -> Tensor:
        """Pixels of a sample for each label; the seed decides them, on any device and however many are made at once."""
        noise = torch.randn((len(labels), *self.noise_shape), generator=Generator().manual_seed(seed))
        setting = self.setting if setting is None else setting
        was_training = self.training
        self.eval()
        with torch.no_grad():
            parts = [
                self.pixels_from(start.to(self.device), asked.to(self.device), setting)
                for start, asked in zip(noise.to(self.dtype).split(at_once), labels.split(at_once), strict=True)
            ]
        self.train(was_training)
        return torch.cat(parts).clamp(0, 1)

    def pixels_of(self, images: Tensor) -> Tensor:
        """Normalised images, as the data hands them out, in pixels from 0 to 1."""
        mean, std = (images.new_tensor(values).view(-1, 1, 1) for values in (self.spec.mean, self.spec.std))
        return (images * std + mean).clamp(0, 1)

    def keep(self, pixels: Tensor, labels: Tensor, stage: Stage) -> None:
        """Keep the real images of an evaluation, to compare samples with."""
        self.gathered.setdefault(stage, Gathered()).add(pixels, labels)

    def measure(self, stage: Stage) -> dict[str, float]:
        real, real_labels = (column.to(self.device) for column in self.gathered.pop(stage).all())
        labels = asked_labels(self.samples[stage], None, self.spec.class_names).to(self.device)
        pixels = self.sample(labels, seed=0)
        self.evaluated[stage] = pixels, labels
        scores = self._copied(pixels, real)
        if "judge" in self._companions:
            scores |= self._judged(stage, real)
        if stage == "test" and self.samples_only:
            scores["samples_only_accuracy"] = self._samples_only(real, real_labels)
        return scores

    def _judged(self, stage: Stage, real: Tensor) -> dict[str, float]:
        pixels, labels = self.evaluated[stage]
        judge = Judge(self.companion("judge"))
        fake, seen = judge.look(pixels), judge.look(real)
        self.agrees[stage] = fake.logits.argmax(1) == labels
        return {"label_agreement": label_agreement(fake.logits, labels), **self._distances(seen, fake)}

    @staticmethod
    def _distances(real: Seen, fake: Seen) -> dict[str, float]:
        total = len(real.features)
        size = min(total // 2, len(fake.features))
        found = distances(real.features[spread(size, total)], fake.features[:size])
        found["fid_floor"] = real_floor(real.features[spread(2 * size, total)])["fid"]
        return {name: found[name] for name in SCORES if name in found}

    def _copied(self, pixels: Tensor, real: Tensor) -> dict[str, float]:
        training = self._training_pixels()
        return {} if training is None else {"copied": copied_share(pixels, training, real)}

    def _training_pixels(self) -> Tensor | None:
        data = getattr(self._trainer, "datamodule", None)
        if not isinstance(data, DataModule):
            return None
        images = data.sample("train", len(data.splits["train"])).inputs
        return self.pixels_of(images.to(self.device, self.dtype))

    def _samples_only(self, real: Tensor, real_labels: Tensor) -> float:
        labels = asked_labels(self.samples_only, None, self.spec.class_names).to(self.device)
        pixels = self.sample(labels, seed=1)
        with torch.inference_mode(False):  # Lightning tests in inference mode, where nothing can be trained
            generated, real = pixels.float().clone(), real.float().clone()
            return samples_only_accuracy(generated, labels.clone(), real, real_labels.clone())

    def intervals(self, stage: Stage) -> dict[str, tuple[float, float]]:
        return {"label_agreement": bootstrap_interval(self.agrees[stage])} if stage in self.agrees else {}

    def welcome(self, name: str, companion: TenfoldModule) -> None:
        Judge(companion).require(self.spec, self.config.get("data", {}))
        super().welcome(name, companion)

    # Pictures and prediction -----------------------------------------------------------------------------------------

    def pictures(self, stage: Stage) -> dict[str, Picture]:
        pixels, _ = self.evaluated[stage]
        classes = len(self.spec.class_names)
        shown = min(len(pixels), 10 * classes)
        drawn: dict[str, Picture] = {
            f"{stage}/samples": grid_figure(pixels[:shown], "Samples, a column for each class", min(classes, shown))
        }
        training = self._training_pixels()
        if training is not None:
            first = pixels[: min(len(pixels), 10)]
            nearest = training[nearest_neighbours(first, training).indices]
            title = "Samples, and under each the training image that is nearest"
            drawn[f"{stage}/neighbours"] = grid_figure(torch.cat([first, nearest]), title, len(first))
        return drawn

    def predict(self, request: Request) -> Iterator[dict[str, Any] | str]:
        """A picture of n samples, and a line that says what it shows."""
        options = request.options
        labels = asked_labels(options.n, options.condition, self.spec.class_names)
        assert request.output is not None
        samples = self.sample(labels, options.seed, self.setting_of(options), request.batch_size)
        write_grid(samples, request.output)
        condition = None if options.condition is None else str(options.condition)
        yield {"output": str(request.output), "n": options.n, "condition": condition, "seed": options.seed}
