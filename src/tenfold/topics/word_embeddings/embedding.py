"""What all word embeddings here share: evaluation of the vectors, answers, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn

from tenfold.data.text.vectors import WordVectors
from tenfold.engine.module import Stage
from tenfold.topics.word_embeddings.answers import answer
from tenfold.topics.word_embeddings.data import Queries, WordSpec
from tenfold.topics.word_embeddings.evaluation import evaluate_vectors
from tenfold.topics.word_embeddings.networks import Lookup
from tenfold.topics.word_embeddings.row_training import RowTrained

if TYPE_CHECKING:
    from tenfold.callbacks.pictures import Picture

PROJECTED = 2000


class EmbeddingModule(RowTrained):
    """A module whose result is one vector a word.

    questions: sets on which the test measures the vectors: wordsim353, simlex999, analogies, or files.
    """

    metrics = {"loss": "min"}
    dashboard: ClassVar[tuple[str, ...]] = ("test/neighbours", "test/map")
    exported = "lookup"

    counts: Tensor

    def __init__(self, spec: WordSpec, questions: Sequence[str] = ()) -> None:
        super().__init__(spec)
        self.questions = tuple(questions)
        self.counts = torch.tensor(spec.counts)

    def parts(self) -> list[str]:
        return ["network"]

    def vectors(self) -> WordVectors:
        """All words and their vectors, on the CPU."""
        raise NotImplementedError

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
