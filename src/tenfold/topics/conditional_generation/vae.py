"""The conditional variational autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Generator, Tensor, nn

from tenfold.data.base import Labelled
from tenfold.data.images.spec import ImageSpec
from tenfold.engine.accumulation import Sums, Weights
from tenfold.engine.draws import Draws
from tenfold.engine.gather import Gathered
from tenfold.engine.module import Stage
from tenfold.errors import UserError, check_number
from tenfold.judge import grid_figure
from tenfold.topics.conditional_generation.bounds import (
    LikelihoodName,
    active_units,
    gaussian_kl,
    importance_bound,
    log_likelihood,
    normal_log_density,
)
from tenfold.topics.conditional_generation.images import SCORES, ImageGenerator
from tenfold.topics.conditional_generation.options import VAEOptions
from tenfold.topics.conditional_generation.subset import spread
from tenfold.topics.conditional_generation.vae_networks import VAE, Decoder

if TYPE_CHECKING:
    from tenfold.callbacks.pictures import Picture


class Encoded(NamedTuple):
    """Normalised images and labels, the pixels to encode, and the noise that z is drawn with."""

    inputs: Tensor
    labels: Tensor
    pixels: Tensor
    noise: Tensor  # [batch, latent_size]


class ConditionalVAE(ImageGenerator):
    r"""Minimises the negative evidence lower bound of each image x under its label y,

    .. math:: -\mathbb{E}_{q(z \mid x, y)} \log p(x \mid z, y) + \mathrm{KL}(q(z \mid x, y) \,\|\, N(0, I))

    (Kingma & Welling, 2014, arXiv 1312.6114; with a condition, Sohn et al., 2015), by z = mean + deviation · noise.
    Since z owes bits to the prior and the label is free, z carries the style and leaves the class to y.

    network: encoder and decoder.
    likelihood: bernoulli: pixels are drawn black or white, with their grey as the probability, anew in each step
        (arXiv 1509.00519); gaussian: grey or colour as it is, with one deviation that is learned.
    beta: weight of the KL term in training; 1: the bound.
    temperature: deviation of z in sampling; below 1, samples are more typical and less varied.
    importance_samples: draws of z for the importance-weighted bound, taken on `num_samples` images.
    """

    metrics = {
        "loss": "min",  # the negative ELBO, in nats an image
        "importance_bound": "min",  # the negative importance-weighted bound, likewise
        "kl": "min",
        "active_units": "max",
        **SCORES,
    }
    dashboard = ("val/kl", "val/label_agreement", "test/samples", "test/neighbours", "test/reconstructions")
    options_class = VAEOptions
    exported = "decoder"

    def __init__(
        self,
        spec: ImageSpec,
        network: VAE,
        judge: str | None = None,
        likelihood: LikelihoodName = "bernoulli",
        beta: float = 1.0,
        temperature: float = 1.0,
        num_samples: int = 200,
        test_samples: int = 500,
        samples_only: int = 0,
        importance_samples: int = 16,
    ) -> None:
        super().__init__(spec, judge, num_samples, test_samples, samples_only, temperature)
        if likelihood not in ("bernoulli", "gaussian"):
            raise UserError(f"model.likelihood: found {likelihood!r}, expected bernoulli or gaussian")
        check_number("model.beta", beta, 0)
        check_number("model.temperature", temperature, 0)
        if importance_samples < 1:
            raise UserError(f"model.importance_samples: found {importance_samples}, expected at least 1")
        self.binary, self.beta, self.importance_samples = likelihood == "bernoulli", beta, importance_samples
        self.network = network
        if not self.binary:  # of each pixel; in the network, so that it is optimized with it
            network.log_variance = nn.Parameter(torch.tensor(-2.0))
        self.latents: dict[str, Gathered] = {}
        self.reconstructed: dict[str, tuple[Tensor, Tensor]] = {}

    @property
    def decoder(self) -> Decoder:
        return self.network.decoder

    # Training --------------------------------------------------------------------------------------------------------

    def draw(self, batch: Labelled, draws: Draws) -> Encoded:
        pixels = self.pixels_of(batch.inputs)
        noise = draws.normal(*self.noise_shape).to(pixels.dtype)
        if self.binary:
            pixels = (draws.uniform(*pixels.shape[1:]) < pixels).to(pixels.dtype)
        return Encoded(batch.inputs, batch.labels, pixels, noise)

    def weights(self, batch: Encoded) -> Weights:
        return {"reconstruction": len(batch.labels), "kl": len(batch.labels)}

    def losses(self, batch: Encoded) -> Sums:
        terms = self._terms(batch, *self.network.encoder(batch.pixels, batch.labels))
        return terms | {"kl": self.beta * terms["kl"]}

    def _terms(self, batch: Encoded, mean: Tensor, log_variance: Tensor) -> Sums:
        latents = mean + (log_variance / 2).exp() * batch.noise
        likelihood = self._log_likelihood(batch.pixels, latents, batch.labels)
        return {"reconstruction": -likelihood.sum(), "kl": gaussian_kl(mean, log_variance).sum()}

    def _log_likelihood(self, pixels: Tensor, latents: Tensor, labels: Tensor) -> Tensor:
        logits = self.decoder.logits(latents, labels)
        return log_likelihood(pixels, logits, None if self.binary else self.network.log_variance)

    # Evaluation ------------------------------------------------------------------------------------------------------

    def evaluate(self, batch: Encoded, stage: Stage) -> Sums:
        mean, log_variance = self.network.encoder(batch.pixels, batch.labels)
        self.keep(self.pixels_of(batch.inputs), batch.labels, stage)
        kept = batch.pixels, batch.labels, mean, log_variance
        self.latents.setdefault(stage, Gathered()).add(*kept)
        return self._terms(batch, mean, log_variance)

    def measure(self, stage: Stage) -> dict[str, float]:
        pixels, labels, mean, log_variance = (column.to(self.device) for column in self.latents.pop(stage).all())
        some = spread(self.samples[stage], len(labels))
        bound = self.importance_bound(pixels[some], labels[some], mean[some], log_variance[some])
        shown = spread(10, len(labels))
        self.reconstructed[stage] = pixels[shown], self.decoder(mean[shown], labels[shown])
        return {
            "importance_bound": -float(bound.mean()),
            "kl": float(gaussian_kl(mean, log_variance).sum(1).mean()),
            "active_units": float(active_units(mean)),
        } | super().measure(stage)

    def importance_bound(self, pixels: Tensor, labels: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """The importance-weighted bound on log p(x | y) of each image, in nats, `[batch]`; its draws are fixed."""
        generator = Generator().manual_seed(0)
        joint, posterior = [], []
        for _ in range(self.importance_samples):
            noise = torch.randn(mean.shape, generator=generator).to(mean)
            latents = mean + (log_variance / 2).exp() * noise
            prior = normal_log_density(latents, latents.new_zeros(()), latents.new_zeros(())).sum(1)
            joint.append(prior + self._log_likelihood(pixels, latents, labels))
            posterior.append(normal_log_density(latents, mean, log_variance).sum(1))
        return importance_bound(torch.stack(joint), torch.stack(posterior))

    def pictures(self, stage: Stage) -> dict[str, Picture]:
        images, means = self.reconstructed[stage]
        title = "Images, and under each what the decoder makes of its code"
        drawn = grid_figure(torch.cat([images, means]), title, len(images))
        return super().pictures(stage) | {f"{stage}/reconstructions": drawn}

    # Samples ---------------------------------------------------------------------------------------------------------

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return (self.network.latent_size,)

    def pixels_from(self, noise: Tensor, labels: Tensor, setting: float) -> Tensor:
        """The means of the pixels, for z of deviation `setting`."""
        return self.decoder(setting * noise, labels)

    def setting_of(self, options: VAEOptions) -> float:
        return self.setting if options.temperature is None else options.temperature

    def example_inputs(self) -> tuple[Tensor, ...]:
        generator = Generator().manual_seed(0)
        return torch.randn((2, *self.noise_shape), generator=generator), torch.arange(2) % len(self.spec.class_names)

    def free_dimensions(self) -> tuple[tuple[str, ...], ...]:
        return ("batch",), ("batch",)
