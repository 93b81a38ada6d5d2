"""Word2Vec and FastText: held-out loss by the book, training by sparse steps over blocks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from tenfold.data.text.vectors import Subwords, WordVectors
from tenfold.engine.accumulation import Sums, Weights
from tenfold.errors import UserError, nearest
from tenfold.topics.word_embeddings import hierarchical, kernels, negative_sampling, training
from tenfold.topics.word_embeddings.blocks import BlockCutter, Blocks, BlockShape, band_table, mean_table
from tenfold.topics.word_embeddings.data import Stretches, WordSpec
from tenfold.topics.word_embeddings.embedding import EmbeddingModule
from tenfold.topics.word_embeddings.networks import SubwordEmbedding, WordEmbedding

#: The epoch whose draws validation and test use, so that their loss is of one fixed set of pairs and noise words.
HELD_OUT = -1


class Word2Vec(EmbeddingModule):
    """Skip-gram or CBOW, with negative sampling or hierarchical softmax, over words or their character n-grams.

    The loss is the textbook's mean over all pairs (skip-gram) or centres (CBOW); val and test loss are over text that
    training never sees, with windows and noise words that stay the same. Under `RowSGD` a batch is trained in many
    sparse steps, in place; under DDP each rank trains its share and the ranks' tables are averaged after each batch.

    network: a `WordEmbedding` or `SubwordEmbedding`.
    window: most contexts on each side; each centre draws 1 … window.
    negatives: noise words that a pair counts; shared: noise words drawn for each passage of `group` blocks of `block`
        centres.
    threshold: of subsampling frequent words; 0 for none.
    step_words: centres of one sparse step; cap: see `RowRates`.
    settle_words: of FastText by matrix products, centres after which n-grams receive what their words have learned; see
        `Composed`.
    workers: threads that train at once; above 1 the result depends on their timing.
    kernel: of negative sampling: `compiled` goes centre after centre (numba, on the CPU), `blocks` multiplies matrices,
        `auto` is compiled where that can be.
    questions: sets on which the test measures the vectors: wordsim353, simlex999, analogies, or files.
    """

    dashboard = ("train/words_per_second", *EmbeddingModule.dashboard)

    def __init__(
        self,
        spec: WordSpec,
        network: WordEmbedding | SubwordEmbedding,
        architecture: Literal["skipgram", "cbow"] = "skipgram",
        objective: Literal["negative", "hierarchical"] = "negative",
        window: int = 5,
        negatives: int = 5,
        block: int = 16,
        shared: int = 128,
        group: int = 9,
        threshold: float = 1e-3,
        step_words: int = 1024,
        settle_words: int = 2048,
        workers: int = 1,
        cap: float = 2.0,
        kernel: Literal["auto", "blocks", "compiled"] = "auto",
        questions: Sequence[str] = (),
    ) -> None:
        super().__init__(spec, questions)
        for name, found, known in (
            ("architecture", architecture, ("skipgram", "cbow")),
            ("objective", objective, ("negative", "hierarchical")),
            ("kernel", kernel, ("auto", "blocks", "compiled")),
        ):
            if found not in known:
                raise UserError(
                    f"model.{name}: found {found!r}, expected {' or '.join(known)}{nearest(str(found), known)}"
                )
        sizes = {"window": window, "negatives": negatives, "block": block, "shared": shared, "group": group}
        for name, size in (
            sizes | {"step_words": step_words, "settle_words": settle_words, "workers": workers}
        ).items():
            if size < 1:
                raise UserError(f"model.{name}: found {size}, expected at least 1")
        if kernel == "compiled":
            kernels.require_compiled(objective)
        self.network, self.cbow = network, architecture == "cbow"
        self.step_words, self.settle_words, self.cap = step_words, settle_words, cap
        self.workers, self.kernel = workers, kernel
        self.shape = BlockShape(**sizes)
        self.cutter = BlockCutter(self.counts, self.shape, threshold, seed=spec.seed)
        self.register_buffer("table", band_table(self.shape), persistent=False)
        self.register_buffer("means", mean_table(self.table), persistent=False)
        self.tree = hierarchical.Hierarchy(self.counts, window) if objective == "hierarchical" else None

    table: Tensor
    means: Tensor

    @classmethod
    def check(cls, config: Mapping[str, Any]) -> None:
        model = config["model"]
        if model.get("kernel") == "compiled":
            kernels.require_compiled(model.get("objective", "negative"), *kernels.place_of(config["trainer"]))

    # The loss --------------------------------------------------------------------------------------------------------

    def cut(self, batch: Stretches) -> Blocks:
        now = self._trainer is not None and self._trainer.training
        self.cutter.to(batch.tokens.device)
        return self.cutter(batch.tokens, batch.index, self.current_epoch if now else HELD_OUT)

    def losses(self, batch: Stretches) -> Sums:
        return {self.term: self.loss_of(self.cut(batch))[0]}

    def weights(self, batch: Stretches) -> Weights:
        sizes = self.cut(batch).sizes
        return {self.term: (sizes > 0).sum() if self.cbow else sizes.sum()}

    @property
    def term(self) -> str:
        return "negative_sampling" if self.tree is None else "hierarchical_softmax"

    def loss_of(self, blocks: Blocks) -> tuple[Tensor, Tensor]:
        """Summed loss of all predictions in `blocks` and their number, differentiable."""
        inputs, outputs = self.network.inputs, self.network.outputs
        if self.tree is not None:
            return hierarchical.path_loss(inputs, outputs, blocks, self.tree, self.cbow, self.shape)
        loss = negative_sampling.cbow_loss if self.cbow else negative_sampling.skipgram_loss
        return loss(inputs, outputs, blocks, self.table, self.shape)

    # Sparse steps ----------------------------------------------------------------------------------------------------

    def on_train_start(self) -> None:
        super().on_train_start()
        self._words, self._since = 0, time.perf_counter()

    @property
    def compiled(self) -> bool:
        """Whether steps are the compiled ones. Raises `UserError` where they were asked for and cannot be had."""
        if self.kernel == "blocks":
            return False
        objective, outputs = "hierarchical" if self.tree is not None else "negative", self.network.outputs
        if self.kernel == "compiled":
            kernels.require_compiled(objective, outputs.device.type, outputs.dtype)
        return not kernels.hindrance(objective, outputs.device.type, outputs.dtype)

    def train_rows(self, batch: Stretches, learning_rate: float) -> None:
        due = self.journal.due
        if len(batch.tokens):
            self.train_blocks(self.cut(batch).shuffled(), learning_rate)
        self._note_speed(batch, due)

    def train_blocks(self, blocks: Blocks, learning_rate: float) -> None:
        """Train on all blocks, about `step_words` centres at a time, in place."""
        training.train(self, blocks, learning_rate)

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
