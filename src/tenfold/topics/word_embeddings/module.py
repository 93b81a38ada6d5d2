"""Word2Vec and FastText: held-out loss by the book, training by sparse steps over blocks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn

from tenfold.engine.accumulation import Sums, Weights
from tenfold.engine.module import Stage, TenfoldModule
from tenfold.errors import UserError, nearest
from tenfold.topics.word_embeddings import hierarchical, negative_sampling
from tenfold.topics.word_embeddings.blocks import BlockCutter, Blocks, BlockShape, band_table
from tenfold.topics.word_embeddings.data import Queries, Stretches, WordSpec
from tenfold.topics.word_embeddings.evaluation import evaluate_vectors
from tenfold.topics.word_embeddings.networks import Lookup, SubwordEmbedding, WordEmbedding
from tenfold.topics.word_embeddings.optimizer import RowSGD
from tenfold.topics.word_embeddings.rates import Rates
from tenfold.topics.word_embeddings.vectors import Subwords, WordVectors

if TYPE_CHECKING:
    from tenfold.callbacks.pictures import Picture

HELD_OUT = (
    -1
)  # the epoch whose draws validation and test use, so that their loss is of one fixed set of pairs and noise words
PROJECTED = 2000


class Word2Vec(TenfoldModule):
    """Skip-gram or CBOW, with negative sampling or hierarchical softmax, over words or their character n-grams.

    The loss is the textbook's mean over all pairs (skip-gram) or centres (CBOW); val and test loss are over text that
    training never sees, with windows and noise words that stay the same. Under `RowSGD` a batch is trained in many
    sparse steps, in place; under DDP each rank trains its share and the ranks' tables are averaged after each batch.

    network: a `WordEmbedding` or `SubwordEmbedding`.
    window: most contexts on each side; each centre draws 1 … window.
    negatives: noise words that a pair counts; shared: noise words drawn for each block of `block` centres.
    threshold: of subsampling frequent words; 0 for none.
    step_words: centres of one sparse step; cap: see `Rates`.
    questions: sets on which the test measures the vectors: wordsim353, simlex999, analogies, or files.
    """

    metrics = {"loss": "min"}
    dashboard = ("train/words_per_second", "test/neighbours", "test/map")
    exported = "lookup"

    def __init__(
        self,
        spec: WordSpec,
        network: WordEmbedding | SubwordEmbedding,
        architecture: Literal["skipgram", "cbow"] = "skipgram",
        objective: Literal["negative", "hierarchical"] = "negative",
        window: int = 5,
        negatives: int = 5,
        block: int = 32,
        shared: int = 32,
        threshold: float = 1e-3,
        step_words: int = 512,
        cap: float = 2.0,
        questions: Sequence[str] = (),
    ) -> None:
        super().__init__(spec)
        for name, found, known in (
            ("architecture", architecture, ("skipgram", "cbow")),
            ("objective", objective, ("negative", "hierarchical")),
        ):
            if found not in known:
                raise UserError(
                    f"model.{name}: found {found!r}, expected {' or '.join(known)}{nearest(str(found), known)}"
                )
        sizes = {"window": window, "negatives": negatives, "block": block, "shared": shared, "step_words": step_words}
        for name, size in sizes.items():
            if size < 1:
                raise UserError(f"model.{name}: found {size}, expected at least 1")
        self.network, self.cbow, self.negatives = network, architecture == "cbow", negatives
        self.step_words, self.cap, self.questions = step_words, cap, tuple(questions)
        self.counts = torch.tensor(spec.counts)
        self.shape = BlockShape(window, negatives, block, shared)
        self.cutter = BlockCutter(self.counts, self.shape, threshold, seed=spec.seed)
        self.register_buffer("table", band_table(self.shape), persistent=False)
        self.tree = hierarchical.Hierarchy(self.counts, window) if objective == "hierarchical" else None

    table: Tensor

    def parts(self) -> list[str]:
        return ["network"]

    # The loss --------------------------------------------------------------------------------------------------------

    def cut(self, batch: Stretches) -> Blocks:
        training = self._trainer is not None and self._trainer.training
        self.cutter.to(batch.tokens.device)
        return self.cutter(batch.tokens, batch.index, self.current_epoch if training else HELD_OUT)

    def losses(self, batch: Stretches) -> Sums:
        return {self.term: self.loss_of(self.cut(batch))[0]}

    def weights(self, batch: Stretches) -> Weights:
        reach = torch.div(self.cut(batch).bands, self.shape.block, rounding_mode="floor")
        sizes = torch.div(reach, self.shape.window + 1, rounding_mode="floor") + reach % (self.shape.window + 1)
        return {self.term: (sizes > 0).sum() if self.cbow else sizes.sum()}

    @property
    def term(self) -> str:
        return "negative_sampling" if self.tree is None else "hierarchical_softmax"

    def loss_of(self, blocks: Blocks) -> tuple[Tensor, Tensor]:
        """Summed loss of all predictions in `blocks` and their number, differentiable."""
        inputs, outputs = self.network.inputs, self.network.outputs
        if self.tree is not None:
            return hierarchical.path_loss(inputs, outputs, blocks, self.tree, self.cbow)
        if self.cbow:
            return negative_sampling.cbow_loss(inputs, outputs, blocks, self.table, self.negatives)
        return negative_sampling.skipgram_loss(inputs, outputs, blocks, self.table)

    # Sparse steps ----------------------------------------------------------------------------------------------------

    def on_train_start(self) -> None:
        super().on_train_start()
        self._words, self._since = 0, time.perf_counter()

    def training_step(self, batch: Stretches, batch_idx: int) -> None:
        optimizer = self._lightning_optimizer(0)
        if not isinstance(optimizer.optimizer, RowSGD):
            super().training_step(batch, batch_idx)
            return
        due = self.journal.due
        self._look(batch, due)
        if len(batch.tokens):
            self.train_blocks(self.cut(batch).shuffled(), optimizer.param_groups[0]["lr"])
        self._average_over_ranks()
        optimizer.step()
        optimizer.zero_grad()
        if self._schedulers[0] is not None:
            self._schedulers[0].step()
        self._note_speed(batch, due)

    def _look(self, batch: Stretches, due: bool) -> None:
        """Note the loss of the batch's first stretch before it is trained; and its gradient's norm when the journal is
        due."""
        piece = Stretches(batch.tokens[:1], batch.index[:1])
        with torch.set_grad_enabled(due):
            total, weight = self.loss_of(self.cut(piece))
            mean = total / weight.clamp(min=1)
        if due:
            self.manual_backward(mean)
        self.journal.record({self.term: mean.detach() / self.world_size})

    def train_blocks(self, blocks: Blocks, learning_rate: float) -> None:
        """Train on all blocks, `step_words` centres at a time, in place."""
        size = max(1, self.step_words // self.shape.block)
        rates = self.rates(blocks, learning_rate, size / max(len(blocks), 1))
        inputs, outputs = self.network.inputs, self.network.outputs.data
        for part in blocks.split(size):
            if self.tree is not None:
                hierarchical.path_step(inputs, outputs, part, self.tree, self.cbow, rates)
            elif self.cbow:
                negative_sampling.cbow_step(inputs, outputs, part, self.table, self.negatives, rates)
            else:
                negative_sampling.skipgram_step(inputs, outputs, part, self.table, rates)

    def rates(self, blocks: Blocks, learning_rate: float, share: float) -> Rates:
        """Rates for steps that hold a `share` of `blocks`: updates of a row are counted in all of them."""
        words, dtype = len(self.counts), self.network.outputs.dtype
        pairs = 1 if self.cbow else self.shape.window + 1
        centres = torch.bincount(blocks.centres.flatten(), minlength=words).to(dtype) * (pairs * share)
        if self.tree is not None:
            predicted = self.tree.node_share(centres)
            received = centres * (predicted.sum() / centres.sum().clamp(min=1))
        else:
            scale = pairs * share * self.negatives * self.shape.block / self.shape.shared
            predicted = centres + torch.bincount(blocks.noise.flatten(), minlength=words).to(dtype) * scale
            received = centres * (1 + self.negatives)
        return Rates(learning_rate, self.cap / self.network.inputs.load(received), self.cap / predicted)

    def _average_over_ranks(self) -> None:
        if self.world_size > 1:
            for parameter in self.network.parameters():
                torch.distributed.all_reduce(parameter.data)
                parameter.data /= self.world_size

    def _note_speed(self, batch: Stretches, due: bool) -> None:
        self._words += int((batch.tokens >= 0).sum()) * self.world_size
        if due:
            now = time.perf_counter()
            for logger in self.loggers:
                logger.log_metrics({"train/words_per_second": self._words / (now - self._since)}, step=self.global_step)
            self._words, self._since = 0, now

    # What comes of it ------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def vectors(self) -> WordVectors:
        """All words and their vectors, on the CPU."""
        spec: Any = self.spec
        matrix = torch.cat(
            [self.network(part) for part in torch.arange(len(spec.words), device=self.device).split(10_000)]
        )
        parts = None
        if isinstance(self.network, SubwordEmbedding):
            buckets = self.network.inputs.weight.detach()[len(spec.words) :].float().cpu()
            parts = Subwords(buckets, self.network.min_n, self.network.max_n)
        return WordVectors(spec.words, matrix.float().cpu(), self.counts, parts)

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
        """One word: its neighbours; two: their similarity; three: the analogy; more: which does not fit and the vector
        of all."""
        vectors = self.vectors()
        if isinstance(inputs, Queries):
            return [answer(vectors, words) for words in inputs.lines]
        return [answer(vectors, (vectors.words[word],)) for word in inputs.tolist()]


def answer(vectors: WordVectors, words: tuple[str, ...]) -> dict[str, Any]:
    """What is asked by so many words: `vector word` for a vector, one word for neighbours, two for a cosine, three for
    an analogy."""
    if len(words) == 2 and words[0] == "vector:":
        return {"vector": [round(value, 6) for value in vectors.vector(words[1]).tolist()]}
    if len(words) == 1:
        return {"neighbours": _rounded(vectors.neighbours(words[0]))}
    if len(words) == 2:
        return {"similarity": round(vectors.similarity(*words), 6)}
    if len(words) == 3:
        return {"analogy": _rounded(vectors.analogy(*words))}
    raise UserError(
        f"input: found {len(words)} words ({' '.join(words)[:40]!r}), expected 1, 2 or 3, or 'vector: word'"
    )


def _rounded(found: list[tuple[str, float]]) -> dict[str, float]:
    return {word: round(cosine, 4) for word, cosine in found}
