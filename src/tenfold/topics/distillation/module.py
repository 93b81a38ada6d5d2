"""Distillation: a classifier that learns from a teacher beside the labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.config.spec import DataSpec
from tenfold.data.base import DataModule, Labelled
from tenfold.engine.accumulation import Sums, Weights
from tenfold.engine.gather import Gathered
from tenfold.engine.module import Stage, TenfoldModule
from tenfold.errors import UserError
from tenfold.topics.classification.module import Classifier
from tenfold.topics.distillation import losses
from tenfold.topics.distillation.fit import compare_classes, compare_data
from tenfold.topics.distillation.networks import Guided, at_one_size, layer_of, logits_and_features

if TYPE_CHECKING:
    from tenfold.callbacks.pictures import Picture


class Distillation(Classifier):
    r"""A student that minimises, over labels y, the teacher's logits t and its own s of the same augmented view,

    .. math:: L = \lambda \, \mathrm{CE}(s, y) + \mu \, T^2 \, \mathrm{KL}(\mathrm{softmax}(t / T) \,\|\,
        \mathrm{softmax}(s / T)).

    The teacher is a run of its own, frozen, in evaluation mode: neither trained nor saved with the student.

    network: the student, inputs `[batch, ...]` to logits `[batch, num_classes]`.
    teacher: the address of a classifier's run with the same classes; None only where nothing is to be trained.
    temperature: T; above 1 it shows how the teacher ranks the wrong classes.
    soft_weight, hard_weight: mu and lambda.
    """

    companions = ("teacher",)
    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        **Classifier.metrics,
        "agreement": "max",
        "teacher_accuracy": "max",
        "divergence": "min",
    }
    dashboard = (  # type: ignore[assignment]
        *Classifier.dashboard,
        "val/agreement",
        "val/teacher_accuracy",
        "val/divergence",
        "test/soft_targets",
        "test/teacher_against_student",
    )

    def __init__(
        self,
        spec: DataSpec,
        network: nn.Module,
        teacher: str | None,
        temperature: float = 4.0,
        soft_weight: float = 0.9,
        hard_weight: float = 0.1,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | Literal["balanced"] | None = None,
    ) -> None:
        super().__init__(spec, network, label_smoothing, class_weights)
        if temperature <= 0:
            raise UserError(f"model.temperature: found {temperature}, expected above 0")
        for name, weight in (("soft_weight", soft_weight), ("hard_weight", hard_weight)):
            if weight < 0:
                raise UserError(f"model.{name}: found {weight}, expected at least 0")
        self.temperature, self.soft_weight, self.hard_weight = temperature, soft_weight, hard_weight
        self.taught: dict[str, Gathered] = {}
        self.teacher_logits: dict[str, Tensor] = {}  # of the last pass, for the pictures

    def welcome(self, name: str, companion: TenfoldModule) -> None:
        if not isinstance(companion, Classifier):
            raise UserError(f"model.teacher: found a {type(companion).__name__}, expected a classifier")
        compare_classes(self, companion)
        compare_data(self, companion)
        super().welcome(name, companion)

    def prepare(self, data: DataModule) -> None:
        super().prepare(data)
        self.companion("teacher")  # is there, or is missed before anything is trained

    @property
    def teacher(self) -> nn.Module:
        network = self.companion("teacher").network
        assert isinstance(network, nn.Module)
        return network

    def losses(self, batch: Labelled) -> Sums:
        with torch.no_grad():
            taught = self.teacher(batch.inputs)
        return self._sums(self.network(batch.inputs), taught, batch.labels)

    def _sums(self, logits: Tensor, taught: Tensor, labels: Tensor) -> Sums:
        hard = self._cross_entropy(logits, labels, self.label_smoothing)["cross_entropy"]
        soft = losses.soft_targets(logits, taught, self.temperature)
        return {"cross_entropy": self.hard_weight * hard, "soft_targets": self.soft_weight * soft}

    def weights(self, batch: Labelled) -> Weights:
        return {**super().weights(batch), "soft_targets": len(batch.labels)}

    def evaluate(self, batch: Labelled, stage: Stage) -> Sums:
        self.taught.setdefault(stage, Gathered()).add(self.teacher(batch.inputs).float())
        return super().evaluate(batch, stage)

    def measure(self, stage: Stage) -> dict[str, float]:
        found = super().measure(stage)
        (taught,) = self.taught.pop(stage).all()
        logits, labels = self.evaluated[stage]
        self.teacher_logits[stage] = taught
        return found | {
            "agreement": float((logits.argmax(1) == taught.argmax(1)).double().mean()),
            "teacher_accuracy": float((taught.argmax(1) == labels).double().mean()),
            "divergence": float(losses.soft_targets(logits.double(), taught.double(), 1.0)) / len(labels),
        }

    def pictures(self, stage: Stage) -> dict[str, Picture]:
        from tenfold.topics.distillation import pictures

        drawn = super().pictures(stage)
        logits, labels = self.evaluated[stage]
        taught, learned = (F.softmax(v / self.temperature, 1) for v in (self.teacher_logits[stage], logits))
        drawn[f"{stage}/teacher_against_student"] = pictures.class_means(taught, learned, labels, self.class_names)
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, DataModule):
            drawn[f"{stage}/soft_targets"] = pictures.soft_targets(
                taught, learned, labels, self.class_names, lambda index: data.example(stage, index)
            )
        return drawn


class Hints(Distillation):
    r"""Distillation that also draws a layer f of the student, through a linear map W, to a layer g of the teacher,

    .. math:: L + \nu \, \frac{1}{2 d} \| W f(x) - g(x) \|^2, \qquad g(x) \in \mathbb{R}^d

    (FitNets, Romero et al., 2015, arXiv 1412.6550), both terms from the first step on, where the paper trains the lower
    half by hints first. W is trained with the student and is no part of what is exported.

    hint_layer, guided_layer: g and f, by their dotted names in the teacher's and the student's network.
    hint_weight: nu.
    """

    exported = "student"

    def __init__(
        self,
        spec: DataSpec,
        network: nn.Module,
        teacher: str | None,
        hint_layer: str,
        guided_layer: str,
        hint_weight: float = 1.0,
        **others: Any,
    ) -> None:
        super().__init__(spec, Guided(network), teacher, **others)
        layer_of(network, guided_layer, "model.guided_layer")
        if hint_weight < 0:
            raise UserError(f"model.hint_weight: found {hint_weight}, expected at least 0")
        self.hint_layer, self.guided_layer, self.hint_weight = hint_layer, guided_layer, hint_weight

    @property
    def student(self) -> nn.Module:
        return self._guided.student

    @property
    def _guided(self) -> Guided:
        assert isinstance(self.network, Guided)
        return self.network

    def welcome(self, name: str, companion: TenfoldModule) -> None:
        super().welcome(name, companion)
        layer_of(self.teacher, self.hint_layer, "model.hint_layer")
        was_training = self.network.training
        self.network.eval()
        with torch.no_grad():  # one pass over an example tells the layers' channels
            inputs = self.spec.example_inputs()[0].to(self.device, self.dtype)
            _, features, _, guide = self._both(inputs)
        self.network.train(was_training)
        at_one_size(features, guide)
        self._guided.regressor.connect(features.shape[1], guide.shape[1])

    def _both(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits and features of the student, then of the teacher."""
        student, teacher = self.student, self.teacher
        guided, hint = student.get_submodule(self.guided_layer), teacher.get_submodule(self.hint_layer)
        with torch.no_grad():
            taught = logits_and_features(teacher, hint, inputs)
        return *logits_and_features(student, guided, inputs), *taught

    def losses(self, batch: Labelled) -> Sums:
        logits, features, taught, guide = self._both(batch.inputs)
        features, guide = at_one_size(features, guide)
        hint = losses.hints(self._guided.regressor(features), guide)
        return {**self._sums(logits, taught, batch.labels), "hints": self.hint_weight * hint}

    def weights(self, batch: Labelled) -> Weights:
        return {**super().weights(batch), "hints": len(batch.labels)}
