"""FastText's supervised mode: the classification topic's module, trained by sparse steps where `RowSGD` asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from tenfold.data.base import Labelled
from tenfold.engine.accumulation import Sums
from tenfold.errors import UserError
from tenfold.topics.classification.module import Classifier
from tenfold.topics.word_embeddings.row_training import RowTrained
from tenfold.topics.word_embeddings.text_network import FastTextClassifier
from tenfold.topics.word_embeddings.text_rows import TextRowSpec


class TextClassification(RowTrained, Classifier):
    """`Classifier` over a `FastTextClassifier`, whose loss under hierarchical softmax is that of the label's path.

    Under `RowSGD` the rows of a batch's texts move by the learning rate times the *sum* of their gradients, as those of
    fastText do text by text: the rate does not depend on the size of the batch.
    """

    noted: ClassVar[int] = 1_000_000  # all of a batch: a text's own loss tells little
    network: FastTextClassifier

    def __init__(
        self,
        spec: TextRowSpec,
        network: FastTextClassifier,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | Literal["balanced"] | None = None,
    ) -> None:
        if network.hierarchical and label_smoothing:
            raise UserError(
                f"model.label_smoothing: found {label_smoothing}, expected 0 with hierarchical softmax, which sees the "
                "label's path alone"
            )
        Classifier.__init__(self, spec, network, label_smoothing, class_weights)

    @property
    def term(self) -> str:
        return "cross_entropy"

    def losses(self, batch: Labelled) -> Sums:
        return {self.term: self._loss(self.network.hidden(batch.inputs), batch.labels)}

    def _loss(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """The sum over texts of a batch, of their means [batch, channels]."""
        if self.network.hierarchical:
            weights = self.class_weights.to(hidden.dtype)[labels]
            return (self.network.path_loss(hidden, labels) * weights).sum()
        return self._cross_entropy(hidden @ self.network.outputs.T, labels, self.label_smoothing)[self.term]

    def train_rows(self, batch: Labelled, learning_rate: float) -> None:
        network = self.network
        with torch.enable_grad():
            hidden = network.hidden(batch.inputs).detach().requires_grad_()
            loss = self._loss(hidden, batch.labels)
            slope, outputs = torch.autograd.grad(loss, (hidden, network.outputs))
        network.add_(batch.inputs, slope * -learning_rate)
        network.outputs.data.sub_(outputs, alpha=learning_rate)
