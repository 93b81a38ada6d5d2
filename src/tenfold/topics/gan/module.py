"""The game of generator and discriminator, whatever they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from tenfold.config.spec import DataSpec
from tenfold.data.base import Labelled
from tenfold.engine.accumulation import Sums, Weights
from tenfold.engine.draws import Draws
from tenfold.engine.module import Stage, TenfoldModule
from tenfold.engine.precision import full_precision
from tenfold.errors import UserError, check_number
from tenfold.topics.gan import objectives

PENALTIES = ("r1", "r2", "gradient_penalty")


class Drawn(NamedTuple):
    """A batch with its random numbers: real samples `[n, ...]` and classes `[n]`; noise `[n, latent_size]`; how far
    between real and fake a penalty is taken `[n]`, and whether it is taken at all `[n]`; by how many pixels real and
    fake are moved `[n, 4]`."""

    inputs: Tensor
    labels: Tensor
    noise: Tensor
    mix: Tensor
    penalised: Tensor
    shifts: Tensor


@dataclass(frozen=True)
class Sampling:
    """What `tenfold predict` can be told: samples to make, and the seed of their noise."""

    n: int = 64
    seed: int = 0


class GAN(TenfoldModule):
    r"""Discriminator and generator take turns, each minimising its side of `objectives` by manual updates.

    The discriminator minimises its loss in the game plus

    .. math:: r_1 \tfrac{1}{2} |\nabla D(x)|^2 + r_2 \tfrac{1}{2} |\nabla D(\hat x)|^2 +
        \lambda (|\nabla D(x + u (\hat x - x))| - 1)^2,

    the generator its own. All are sums over samples, weighed by their number, and no term looks across samples: any
    cut of the batch gives the same gradients.

    generator: noise `[n, latent_size]`, and classes `[n]` where it is conditional, to samples; its `num_classes` is how
        many it is told apart, 0 for none.
    discriminator: samples, and classes likewise, to scores `[n]`.
    game: non_saturating, relativistic or wasserstein.
    r1, r2: weights of the zero-centred penalties on real and on generated samples.
    gradient_penalty: weight of WGAN-GP's penalty.
    penalised: share of the samples, drawn for each step, that penalties are taken of: they cost most of a step, and a
        quarter of them holds a discriminator as well (the lazy regularisation of StyleGAN2, arXiv 1912.04958).
    critic_steps: discriminator steps, a batch each, to one of the generator.
    translate: pixels that images are moved by at most before the discriminator sees them.
    eval_samples: samples that validation and test make, always of the same noise.
    """

    optimized = ("discriminator", "generator")  # a step of the first is what is counted: there is one for every batch
    exported = "generator"
    options_class: ClassVar[type] = Sampling
    answer_file = "samples.png"
    takes_input = False

    def __init__(
        self,
        spec: DataSpec,
        generator: nn.Module,
        discriminator: nn.Module,
        game: objectives.Game = "non_saturating",
        r1: float = 0.0,
        r2: float = 0.0,
        gradient_penalty: float = 0.0,
        penalised: float = 1.0,
        critic_steps: int = 1,
        translate: int = 0,
        eval_samples: int = 1000,
    ) -> None:
        super().__init__(spec)
        for name, value, least in (("critic_steps", critic_steps, 1), ("eval_samples", eval_samples, 2)):
            check_number(f"model.{name}", value, least)
        own = {"r1": r1, "r2": r2, "gradient_penalty": gradient_penalty, "translate": translate}
        for name, weight in own.items():
            check_number(f"model.{name}", weight, 0)
        if not 0 < penalised <= 1:
            raise UserError(f"model.penalised: found {penalised}, expected above 0 and at most 1")
        self.generator, self.discriminator = generator, discriminator
        self.latent_size: int = generator.latent_size  # type: ignore[assignment]
        self.num_classes: int = generator.num_classes  # type: ignore[assignment]
        self.game: objectives.Game = game
        self.r1, self.r2, self.gradient_penalty = r1, r2, gradient_penalty
        self.penalised = penalised
        self.critic_steps, self.translate, self.eval_samples = critic_steps, translate, eval_samples

    # Training --------------------------------------------------------------------------------------------------------

    def training_step(self, batch: Labelled, batch_idx: int) -> None:
        self.update("discriminator", batch)
        if self.trainer.fit_loop.total_batch_idx % self.critic_steps == 0:
            self.update("generator", batch)

    def draw(self, batch: Labelled, draws: Draws) -> Drawn:
        noise, mix = draws.normal(self.latent_size), draws.uniform()
        shifts = draws.integers(2 * self.translate + 1, 4)
        penalised = draws.uniform() < self.penalised
        return Drawn(batch.inputs, batch.labels, noise.to(self.dtype), mix.to(self.dtype), penalised, shifts)

    def objective(self, part: str) -> tuple[Callable[[Any], Sums], Callable[[Any], Weights]]:
        if part == "generator":
            return self.generator_losses, lambda batch: {"generator": len(batch.inputs)}
        return self.discriminator_losses, self._discriminator_weights

    def weights(self, batch: Drawn) -> Weights:
        """Of the terms that `evaluate` gives."""
        return dict.fromkeys(("discriminator", "generator"), len(batch.inputs))

    def _discriminator_weights(self, batch: Drawn) -> Weights:
        active = [name for name in PENALTIES if getattr(self, name)]
        return {"discriminator": len(batch.inputs), **dict.fromkeys(active, batch.penalised.sum())}

    def discriminator_losses(self, batch: Drawn) -> Sums:
        with torch.no_grad():
            fake = self.shown(self.generate(batch.noise, batch.labels), batch.shifts[:, 2:])
        real = self.shown(self.real(batch.inputs), batch.shifts[:, :2])
        judged = self.discriminate(real, batch.labels), self.discriminate(fake, batch.labels)
        return {"discriminator": objectives.discriminator_loss(self.game, *judged)} | self._penalties(batch, real, fake)

    def _penalties(self, batch: Drawn, real: Tensor, fake: Tensor) -> Sums:
        """In full precision: squares of gradients leave half precision's range."""
        sums: Sums = {}
        rows = batch.penalised.nonzero().squeeze(1)
        with full_precision(self.device):
            real, fake = real[rows].to(self.dtype), fake[rows].to(self.dtype)
            judge = partial(self.discriminate, labels=batch.labels[rows])
            if self.r1:
                sums["r1"] = self.r1 * objectives.zero_centred_penalty(judge, real)
            if self.r2:
                sums["r2"] = self.r2 * objectives.zero_centred_penalty(judge, fake)
            if self.gradient_penalty:
                points = objectives.between(real, fake, batch.mix[rows])
                sums["gradient_penalty"] = self.gradient_penalty * objectives.one_centred_penalty(judge, points)
        return sums

    def generator_losses(self, batch: Drawn) -> Sums:
        fake = self.shown(self.generate(batch.noise, batch.labels), batch.shifts[:, 2:])
        real = None
        if self.game == "relativistic":
            with torch.no_grad():
                real = self.discriminate(self.shown(self.real(batch.inputs), batch.shifts[:, :2]), batch.labels)
        return {"generator": objectives.generator_loss(self.game, real, self.discriminate(fake, batch.labels))}

    def generate(self, noise: Tensor, labels: Tensor) -> Tensor:
        return self.generator(noise, labels) if self.num_classes else self.generator(noise)

    def discriminate(self, samples: Tensor, labels: Tensor) -> Tensor:
        return self.discriminator(samples, labels) if self.num_classes else self.discriminator(samples)

    def real(self, inputs: Tensor) -> Tensor:
        """What the data module gives, in the generator's own terms."""
        return inputs

    def shown(self, samples: Tensor, shift: Tensor) -> Tensor:
        """What the discriminator sees of samples, real or generated."""
        return objectives.translated(samples, shift, self.translate) if self.translate else samples

    # Evaluation ------------------------------------------------------------------------------------------------------

    def evaluate(self, batch: Drawn, stage: Stage) -> Sums:
        """The game's losses without the penalties, which need gradients."""
        fake = self.discriminate(self.generate(batch.noise, batch.labels), batch.labels)
        real = self.discriminate(self.real(batch.inputs), batch.labels)
        return {
            "discriminator": objectives.discriminator_loss(self.game, real, fake),
            "generator": objectives.generator_loss(self.game, real, fake),
        }

    @torch.no_grad()
    def make(self, n: int, seed: int, labels: Tensor | None = None, batch_size: int = 500) -> Tensor:
        """n samples, the same on every device and for every batch size; `labels` `[n]`: all classes in turn."""
        noise = torch.randn(n, self.latent_size, generator=torch.Generator().manual_seed(seed))
        labels = torch.arange(n) % max(1, self.num_classes) if labels is None else labels
        parts = zip(noise.split(batch_size), labels.split(batch_size), strict=True)
        return torch.cat([self.generate(z.to(self.device, self.dtype), y.to(self.device)) for z, y in parts])

    def make_share(self, stage: Stage) -> Tensor:
        """This rank's share of the samples that are evaluated, of the weights that are in place: EMA's, where it is
        on. They are made while the pass runs, for Lightning takes the average out before it ends."""
        return self.make(self.eval_samples, seed=("val", "test").index(stage))[self.rank :: self.world_size]

    def example_inputs(self) -> tuple[Tensor, ...]:
        noise = torch.randn(2, self.latent_size, generator=torch.Generator().manual_seed(0))
        return (noise, torch.tensor([0, self.num_classes - 1])) if self.num_classes else (noise,)

    def preprocessing(self) -> dict[str, str]:
        """Of the generator; what it gives is the topic's to add."""
        taken = {"input": f"float32 [batch, {self.latent_size}], standard normal noise"}
        return taken | ({"condition": "int64 [batch], the class's place in class_names"} if self.num_classes else {})

    def free_dimensions(self) -> tuple[tuple[str, ...], ...]:
        return (("batch",),) * (2 if self.num_classes else 1)
