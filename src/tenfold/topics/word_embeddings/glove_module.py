"""GloVe: trained on the entries of a co-occurrence matrix, measured on entries that it never saw."""

from __future__ import annotations

from collections.abc import Sequence

from tenfold.data.text.vectors import WordVectors
from tenfold.engine.accumulation import Sums, Weights
from tenfold.errors import UserError
from tenfold.topics.word_embeddings.data import WordSpec
from tenfold.topics.word_embeddings.embedding import EmbeddingModule
from tenfold.topics.word_embeddings.glove import GloVe
from tenfold.topics.word_embeddings.glove_data import Entries


class GloVeModule(EmbeddingModule):
    """The loss is the mean squared error of log counts, weighted as in the paper, over the entries of a batch. Val and
    test loss are over entries left out of training, pair by pair. Under `RowSGD` a step is the paper's AdaGrad.

    network: a `GloVe`.
    step_entries: of one sparse step.
    questions: sets on which the test measures the vectors: wordsim353, simlex999, analogies, or files.
    """

    network: GloVe

    def __init__(self, spec: WordSpec, network: GloVe, step_entries: int = 4096, questions: Sequence[str] = ()) -> None:
        super().__init__(spec, questions)
        if step_entries < 1:
            raise UserError(f"model.step_entries: found {step_entries}, expected at least 1")
        self.network, self.step_entries = network, step_entries

    @property
    def term(self) -> str:
        return "squared_error"

    def losses(self, batch: Entries) -> Sums:
        return {self.term: self.network(*(field.reshape(-1) for field in batch))[0]}

    def weights(self, batch: Entries) -> Weights:
        return {self.term: self.network.weight(batch.counts).sum()}

    def train_rows(self, batch: Entries, learning_rate: float) -> None:
        for rows, columns, counts in zip(*(field.reshape(-1).split(self.step_entries) for field in batch), strict=True):
            self.network.step(rows, columns, counts, learning_rate)

    def vectors(self) -> WordVectors:
        return WordVectors(self.spec.words, self.network.vectors.float().cpu(), self.counts)  # type: ignore[attr-defined]
