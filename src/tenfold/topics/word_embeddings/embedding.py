"""What all word embeddings here share: sparse training steps, evaluation of the vectors, answers, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn

from tenfold.engine.module import Stage, TenfoldModule
from tenfold.topics.word_embeddings.answers import answer
from tenfold.topics.word_embeddings.data import Queries, WordSpec
from tenfold.topics.word_embeddings.evaluation import evaluate_vectors
from tenfold.topics.word_embeddings.networks import Lookup
from tenfold.topics.word_embeddings.optimizer import RowSGD
from tenfold.topics.word_embeddings.vectors import WordVectors

if TYPE_CHECKING:
    from tenfold.callbacks.pictures import Picture

PROJECTED = 2000


class EmbeddingModule(TenfoldModule):
    """A module whose result is one vector a word.

    Under `RowSGD` a batch is trained by the module's own sparse steps, in place (`train_rows`); under DDP each rank
    trains its share and the ranks' tables are averaged after each batch. Any other optimizer gets dense gradients.

    questions: sets on which the test measures the vectors: wordsim353, simlex999, analogies, or files.
    """

    metrics = {"loss": "min"}
    dashboard: ClassVar[tuple[str, ...]] = ("test/neighbours", "test/map")
    exported = "lookup"

    counts: Tensor
    network: Any

    def __init__(self, spec: WordSpec, questions: Sequence[str] = ()) -> None:
        super().__init__(spec)
        self.questions = tuple(questions)
        self.counts = torch.tensor(spec.counts)

    def parts(self) -> list[str]:
        return ["network"]

    @property
    def term(self) -> str:
        """The name of the only loss term."""
        raise NotImplementedError

    def train_rows(self, batch: Any, learning_rate: float) -> None:
        """Train on a batch by sparse steps, in place."""
        raise NotImplementedError

    def vectors(self) -> WordVectors:
        """All words and their vectors, on the CPU."""
        raise NotImplementedError

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer = self._lightning_optimizer(0)
        if not isinstance(optimizer.optimizer, RowSGD):
            super().training_step(batch, batch_idx)
            return
        self._look(batch, self.journal.due)
        self.train_rows(batch, optimizer.param_groups[0]["lr"])
        self._average_over_ranks()
        optimizer.step()
        optimizer.zero_grad()
        if self._schedulers[0] is not None:
            self._schedulers[0].step()

    def _look(self, batch: Any, due: bool) -> None:
        """Note the loss of the batch's first sample before it is trained; and its gradient's norm when the journal is
        due."""
        piece = type(batch)(*(field[:1] for field in batch))
        with torch.set_grad_enabled(due):
            weight = torch.as_tensor(self.weights(piece)[self.term])
            mean = self.losses(piece)[self.term] / weight.clamp(min=torch.finfo(torch.float32).tiny)
        if due:
            self.manual_backward(mean)
        self.journal.record({self.term: mean.detach() / self.world_size})

    def _average_over_ranks(self) -> None:
        if self.world_size > 1:
            for tensor in self.network.state_dict().values():
                torch.distributed.all_reduce(tensor.data)
                tensor.data /= self.world_size

    @property
    def lookup(self) -> nn.Module:
        return Lookup(self.vectors().matrix)

    def measure(self, stage: Stage) -> dict[str, float]:
        if stage != "test" or not self.questions:
            return {}
        scores = evaluate_vectors(self.vectors(), self.questions)
        return {name: score.value for name, score in scores.items()} | {
            f"{name}_coverage": score.coverage for name, score in scores.items()
        }

    def pictures(self, stage: Stage) -> dict[str, Picture]:
        from tenfold.topics.word_embeddings import pictures

        vectors = self.vectors()
        return {f"{stage}/neighbours": pictures.neighbour_table(vectors), f"{stage}/map": pictures.word_map(vectors)}

    def on_test_end(self) -> None:
        """Give TensorBoard's projector the most frequent words."""
        vectors = self.vectors()
        words, matrix = list(vectors.words[:PROJECTED]), vectors.matrix[:PROJECTED]
        for logger in self.loggers:
            if isinstance(logger, TensorBoardLogger) and self.trainer.is_global_zero:
                rows = [[word, str(count)] for word, count in zip(words, self.counts.tolist(), strict=False)]
                logger.experiment.add_embedding(matrix, rows, metadata_header=["word", "count"], tag="vectors")

    def predict_inputs(self, inputs: Any) -> Sequence[Mapping[str, Any]]:  # type: ignore[override]
        """One word: its neighbours; two: their similarity; three: the analogy."""
        vectors = self.vectors()
        if isinstance(inputs, Queries):
            return [answer(vectors, words) for words in inputs.lines]
        return [answer(vectors, (vectors.words[word],)) for word in inputs.tolist()]
