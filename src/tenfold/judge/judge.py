"""A finished classification run, looking at pictures that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tenfold.data.images.spec import ImageSpec
from tenfold.engine.companions import warn_of_another_split
from tenfold.engine.module import TenfoldModule
from tenfold.errors import UserError


class Seen(NamedTuple):
    """What the judge makes of n images: features `[n, d]`, of which distances are taken, and logits `[n, classes]`."""

    features: Tensor
    logits: Tensor


class Coverage(NamedTuple):
    """classes: how many are covered; shares: of the samples that the judge takes for each class, `[classes]`."""

    classes: int
    shares: Tensor


class Judge:
    """Looks at images in pixels from 0 to 1, `[n, channels, height, width]`, whatever they were trained on.

    The features are the input of the classifier's last linear layer. Inception's, of photographs, say nothing of
    digits; those of a classifier of the very data do. The classifier is an ordinary run, trained on the training split
    only, and never part of a loss.

    classifier: the companion's module, frozen and in evaluation mode.
    """

    def __init__(self, classifier: TenfoldModule) -> None:
        if not isinstance(classifier.spec, ImageSpec):
            raise UserError("model.judge: found a run on other data, expected a classifier of images")
        self.classifier: Any = classifier
        self.spec: ImageSpec = classifier.spec
        linear = [layer for layer in classifier.get_submodule("network").modules() if isinstance(layer, nn.Linear)]
        if not linear:
            raise UserError("model.judge: its network has no linear layer, whose input would be the features")
        self.last_layer = linear[-1]

    def require(self, spec: ImageSpec, data: Mapping[str, Any]) -> None:
        """Raises `UserError` where the judge knows images of another size or other classes than `spec`; warns where it
        was trained on another split of the data, of which `data` is the config."""
        shapes = [(s.channels, s.height, s.width) for s in (self.spec, spec)]
        classes = [tuple(s.class_names) for s in (self.spec, spec)]
        for name, (found, expected) in (("channels x height x width", shapes), ("classes", classes)):
            if found != expected:
                raise UserError(f"model.judge: its {name} are {found}, expected {expected}, as in the data")
        warn_of_another_split("judge", self.classifier, data, "the very images that samples are compared with")

    @torch.no_grad()
    def look(self, pixels: Tensor, batch_size: int = 500) -> Seen:
        """Features and logits in float32 or the classifier's own type, from a few images at a time."""
        kept: list[Tensor] = []
        handle = self.last_layer.register_forward_pre_hook(lambda layer, inputs: kept.append(inputs[0]))
        try:
            logits = [self.classifier.network(self._normalised(part)) for part in pixels.split(batch_size)]
        finally:
            handle.remove()
        return Seen(torch.cat(kept).float(), torch.cat(logits).float())

    def _normalised(self, pixels: Tensor) -> Tensor:
        mean, std = (pixels.new_tensor(values).view(-1, 1, 1) for values in (self.spec.mean, self.spec.std))
        return ((pixels - mean) / std).to(self.classifier.dtype)


def label_agreement(logits: Tensor, labels: Tensor) -> float:
    """Share of samples that the judge takes for the class `[n]` they were asked to be."""
    return float((logits.argmax(1) == labels).double().mean())


def class_coverage(logits: Tensor, least: float = 0.1) -> Coverage:
    """Which classes the samples show: those that get at least `least` of their fair share, one in `classes`."""
    shares = torch.bincount(logits.argmax(1), minlength=logits.shape[1]).double() / len(logits)
    return Coverage(int((shares >= least / logits.shape[1]).sum()), shares)
