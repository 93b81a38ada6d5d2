"""Classification: cross-entropy, and the metrics that tell whether its probabilities can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.config.spec import DataSpec
from tenfold.data.base import DataModule, Labelled
from tenfold.data.text.labelled_text import TextData
from tenfold.data.text.vectors import WordVectors
from tenfold.engine.accumulation import Sums, Weights
from tenfold.engine.gather import Gathered
from tenfold.engine.module import Stage, TenfoldModule
from tenfold.errors import UserError
from tenfold.topics.classification import metrics

if TYPE_CHECKING:
    from tenfold.callbacks.pictures import Picture


class Classifier(TenfoldModule):
    r"""Minimises the cross-entropy of each sample's class,

    .. math:: L = \frac{\sum_i w_{y_i} \, \ell(z_i, y_i)}{\sum_i w_{y_i}}, \qquad \ell(z, y) = -\log
    \mathrm{softmax}(z)_y.

    network: any module that maps inputs `[batch, ...]` to logits `[batch, num_classes]`.
    label_smoothing: part of the target spread evenly over all classes (Szegedy et al., 2016, arXiv 1512.00567), 0 to 1.
    class_weights: w, one number a class; "balanced" for samples / (classes * samples of the class); None for ones.
    """

    metrics = {
        "accuracy": "max",
        "loss": "min",
        "top5_accuracy": "max",
        "precision_macro": "max",
        "recall_macro": "max",
        "f1_macro": "max",
        "f1_micro": "max",
        "ece": "min",
    }
    dashboard = (
        "val/accuracy",
        "test/accuracy",
        "test/confusion_matrix",
        "test/reliability",
        "test/precision_recall",
        "test/hardest",
    )

    def __init__(
        self,
        spec: DataSpec,
        network: nn.Module,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | Literal["balanced"] | None = None,
    ) -> None:
        super().__init__(spec)
        self.network = network
        self.label_smoothing = label_smoothing
        self.class_names: tuple[str, ...] = spec.class_names  # type: ignore[attr-defined]
        self.balanced = class_weights == "balanced"
        self.register_buffer("class_weights", self._initial_weights(class_weights))
        self.gathered: dict[str, Gathered] = {}
        self.evaluated: dict[str, tuple[Tensor, Tensor]] = {}  # logits and labels of the last pass, for the pictures

    class_weights: Tensor

    def _initial_weights(self, given: Sequence[float] | str | None) -> Tensor:
        if given is None or given == "balanced":
            return torch.ones(len(self.class_names))
        if isinstance(given, str) or len(given) != len(self.class_names):
            raise UserError(
                f"model.class_weights: found {given!r}, expected balanced, null or {len(self.class_names)} numbers"
            )
        return torch.tensor([float(weight) for weight in given])

    def prepare(self, data: DataModule) -> None:
        if self.balanced:
            counts = data.labels("train").bincount(minlength=len(self.class_names))
            self.class_weights.copy_(counts.sum() / (len(counts) * counts))
        if isinstance(data, TextData) and data.vectors is not None:
            self._begin_with(data.vectors, data.spec.tokens)

    def _begin_with(self, vectors: WordVectors, tokens: Sequence[str]) -> None:
        """Let the network's embedding begin with the vectors of those `tokens` that have one, at its own scale."""
        table = getattr(getattr(self.network, "embedding", None), "weight", None)
        if table is None:
            raise UserError(
                f"data.vectors: {type(self.network).__name__} takes no vectors; expected null, or a model such as "
                "classification/text_cnn"
            )
        if vectors.matrix.shape[1] != table.shape[1]:
            raise UserError(
                f"data.vectors: found {vectors.matrix.shape[1]} numbers a token, expected {table.shape[1]} as the "
                "network's embedding has"
            )
        places = [(row, vectors.index[token]) for row, token in enumerate(tokens) if token in vectors.index]
        rows, found = torch.tensor(places).view(-1, 2).unbind(1)
        with torch.no_grad():
            table[rows] = vectors.matrix[found].to(table) * (table[1:].std() / vectors.matrix.std())

    def logits(self, batch: Any) -> Tensor:
        """`[batch, classes]`."""
        return self.network(batch.inputs)

    def losses(self, batch: Labelled) -> Sums:
        return self._cross_entropy(self.logits(batch), batch.labels, self.label_smoothing)

    def weights(self, batch: Labelled) -> Weights:
        return {"cross_entropy": self.class_weights[batch.labels].sum()}

    def evaluate(self, batch: Labelled, stage: Stage) -> Sums:
        logits = self.logits(batch)
        self.gathered.setdefault(stage, Gathered()).add(logits.float(), batch.labels)
        return self._cross_entropy(logits, batch.labels, 0.0)

    def _cross_entropy(self, logits: Tensor, labels: Tensor, smoothing: float) -> Sums:
        loss = F.cross_entropy(
            logits, labels, self.class_weights.to(logits.dtype), reduction="sum", label_smoothing=smoothing
        )
        return {"cross_entropy": loss}

    def measure(self, stage: Stage) -> dict[str, float]:
        logits, labels = self.gathered.pop(stage).all()
        self.evaluated[stage] = logits, labels
        return metrics.classification_metrics(logits, labels)

    def intervals(self, stage: Stage) -> dict[str, tuple[float, float]]:
        logits, labels = self.evaluated[stage]
        return {"accuracy": metrics.bootstrap_interval(logits.argmax(1) == labels)}

    def pictures(self, stage: Stage) -> dict[str, Picture]:
        from tenfold.topics.classification import pictures

        logits, labels = self.evaluated[stage]
        drawn: dict[str, Picture] = {
            f"{stage}/confusion_matrix": pictures.confusion_matrix(logits, labels, self.class_names),
            f"{stage}/reliability": pictures.reliability_diagram(logits, labels),
            f"{stage}/precision_recall": pictures.precision_recall_curves(logits, labels, self.class_names),
        }
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, DataModule):
            drawn[f"{stage}/hardest"] = pictures.hardest_examples(
                logits, labels, self.class_names, lambda index: data.example(stage, index)
            )
        return drawn

    def predict_inputs(self, inputs: Any) -> Sequence[dict[str, Any]]:
        """The most probable label of each input, and the probability of each class."""
        return self.answers(self.network(inputs))

    def answers(self, logits: Tensor) -> list[dict[str, Any]]:
        """What logits `[batch, classes]` say, in words and numbers."""
        probabilities = logits.float().softmax(1)
        return [
            {
                "label": self.class_names[int(row.argmax())],
                "probabilities": dict(zip(self.class_names, [round(p, 6) for p in row.tolist()], strict=True)),
            }
            for row in probabilities
        ]
