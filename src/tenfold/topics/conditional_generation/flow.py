"""Conditional flow matching with classifier-free guidance."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Generator, Tensor, nn

from tenfold.data.base import Labelled
from tenfold.data.images.spec import ImageSpec
from tenfold.data.labels import asked_labels
from tenfold.engine.accumulation import Sums, Weights
from tenfold.engine.draws import Draws
from tenfold.engine.module import Stage
from tenfold.errors import UserError, check_number
from tenfold.judge import grid_figure
from tenfold.topics.conditional_generation.flow_sampling import Solver, guided, integrate
from tenfold.topics.conditional_generation.images import SCORES, ImageGenerator
from tenfold.topics.conditional_generation.options import FlowOptions

if TYPE_CHECKING:
    from tenfold.callbacks.pictures import Picture

GUIDANCES = (0.0, 1.0, 2.0, 4.0)  # shown beside each other


class Interpolated(NamedTuple):
    """Images and labels, the noise at the flow's other end, a time between, and whether the label is to be left out."""

    inputs: Tensor  # [batch, channels, height, width], as the data hands them out
    labels: Tensor  # [batch]
    noise: Tensor  # of the inputs' shape
    time: Tensor  # [batch], from 0 (noise) to 1 (images)
    dropped: Tensor  # [batch], bool


class FlowMatching(ImageGenerator):
    r"""Learns the velocity that carries noise to images along straight lines (Lipman et al., 2023, arXiv 2210.02747),

    .. math:: L = \sum_{\text{pixels}} \left(v(x_t, t, y) - (x_1 - x_0)\right)^2, \qquad x_t = (1 - t) x_0 + t x_1,

    with x_1 an image, its pixels from -1 to 1, x_0 standard normal and t uniform. Its optimum is the mean of x_1 - x_0
    over all pairs whose line passes x_t, and following that from t = 0 to 1 turns noise into images.

    network: velocity of images `[batch, channels, height, width]`, times `[batch]` and labels `[batch]`, of which
        `num_classes` is the empty condition.
    drop_condition: share of samples that train without their label, so that guidance has a model of all classes.
    guidance: strength of the label in sampling; 1: as learned.
    steps, solver: of the integration from noise to image.
    """

    metrics = {"loss": "min", **SCORES}
    dashboard = ("val/label_agreement", "test/samples", "test/neighbours", "test/guidance")
    options_class = FlowOptions

    def __init__(
        self,
        spec: ImageSpec,
        network: nn.Module,
        judge: str | None = None,
        drop_condition: float = 0.1,
        guidance: float = 1.0,
        steps: int = 8,
        solver: Solver = "heun",
        num_samples: int = 100,
        test_samples: int = 200,
        samples_only: int = 0,
    ) -> None:
        super().__init__(spec, judge, num_samples, test_samples, samples_only, guidance)
        check_number("model.drop_condition", drop_condition, 0, 1)
        check_number("model.guidance", guidance, 0)
        if steps < 1:
            raise UserError(f"model.steps: found {steps}, expected at least 1")
        if solver not in ("heun", "euler"):
            raise UserError(f"model.solver: found {solver!r}, expected heun or euler")
        self.network = network
        self.empty = len(spec.class_names)
        self.drop_condition, self.steps, self.solver = drop_condition, steps, solver

    # Training --------------------------------------------------------------------------------------------------------

    def draw(self, batch: Labelled, draws: Draws) -> Interpolated:
        noise = draws.normal(*batch.inputs.shape[1:]).to(batch.inputs.dtype)
        time = draws.uniform().to(batch.inputs.dtype)
        return Interpolated(batch.inputs, batch.labels, noise, time, draws.uniform() < self.drop_condition)

    def weights(self, batch: Interpolated) -> Weights:
        return {"velocity": len(batch.labels)}

    def losses(self, batch: Interpolated) -> Sums:
        return self._velocity_error(batch, batch.labels.masked_fill(batch.dropped, self.empty))

    def evaluate(self, batch: Interpolated, stage: Stage) -> Sums:
        self.keep(self.pixels_of(batch.inputs), batch.labels, stage)
        return self._velocity_error(batch, batch.labels)

    def _velocity_error(self, batch: Interpolated, labels: Tensor) -> Sums:
        images = 2 * self.pixels_of(batch.inputs) - 1
        time = batch.time.view(-1, 1, 1, 1)
        velocity = self.network((1 - time) * batch.noise + time * images, batch.time, labels)
        return {"velocity": (velocity - (images - batch.noise)).square().sum()}

    # Samples ---------------------------------------------------------------------------------------------------------

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return self.spec.channels, self.spec.height, self.spec.width

    def pixels_from(self, noise: Tensor, labels: Tensor, setting: float) -> Tensor:
        """Along the flow, under guidance `setting`."""
        velocity = guided(self.network, labels, self.empty, setting)
        return (integrate(velocity, noise, self.steps, self.solver) + 1) / 2

    def setting_of(self, options: FlowOptions) -> float:
        return self.setting if options.guidance is None else options.guidance

    def pictures(self, stage: Stage) -> dict[str, Picture]:
        labels = asked_labels(min(10, self.samples[stage]), None, self.spec.class_names)
        rows = [self.sample(labels, seed=0, setting=guidance) for guidance in GUIDANCES]
        title = f"The same noise under guidance {', '.join(f'{guidance:g}' for guidance in GUIDANCES)}"
        return super().pictures(stage) | {f"{stage}/guidance": grid_figure(torch.cat(rows), title, len(labels))}

    def example_inputs(self) -> tuple[Tensor, ...]:
        generator = Generator().manual_seed(0)
        noise = torch.randn((2, *self.noise_shape), generator=generator)
        return noise, torch.tensor([0.25, 0.75]), torch.arange(2) % len(self.spec.class_names)

    def free_dimensions(self) -> tuple[tuple[str, ...], ...]:
        return ("batch",), ("batch",), ("batch",)
