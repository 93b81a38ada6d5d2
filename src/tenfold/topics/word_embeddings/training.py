"""Training by many sparse steps in place, over one thread or several."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tenfold.topics.word_embeddings import hierarchical, negative_sampling
from tenfold.topics.word_embeddings.blocks import Blocks
from tenfold.topics.word_embeddings.rates import RowRates
from tenfold.topics.word_embeddings.tables import Composed, WordTable

if TYPE_CHECKING:
    from tenfold.topics.word_embeddings.module import Word2Vec


def train(model: Word2Vec, blocks: Blocks, learning_rate: float) -> None:
    """Train on all blocks, about `step_words` centres at a time, in place.

    Workers share the tables and wait for nobody (Hogwild: Niu et al. 2011), as in word2vec.c.
    """
    size = max(1, round(model.step_words / model.shape.centres))
    if model.workers == 1 or len(blocks) < 2 * size:
        _train(model, blocks, size, learning_rate)
        return
    parts = blocks.split(-(-len(blocks) // model.workers))
    with _threads_kept(), ThreadPoolExecutor(model.workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for done in [pool.submit(_train, model, part, size, learning_rate) for part in parts]:
            done.result()


@contextlib.contextmanager
def _threads_kept() -> Iterator[None]:
    """Give torch its number of threads back afterwards: what a worker sets is set for all."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@torch.no_grad()
def _train(model: Word2Vec, blocks: Blocks, size: int, learning_rate: float) -> None:
    inputs, outputs = model.network.inputs, model.network.outputs.data
    if model.compiled:
        from tenfold.topics.word_embeddings import compiled

        compiled.step(inputs, outputs, blocks, model.shape, model.cbow, learning_rate, model.cap)
        return
    rates = [RowRates(learning_rate, model.cap, len(model.counts), outputs) for _ in range(2)]
    if isinstance(inputs, WordTable):
        _steps(model, inputs, blocks, size, rates)
        return
    settle = max(size, round(model.settle_words / model.shape.centres))
    limit = model.cap * -(-settle // size)
    for chunk in blocks.split(settle):
        words = Composed(inputs, chunk.text)
        _steps(model, words, chunk, size, rates)
        words.settle(chunk.text.view(-1), _received(model, chunk).mul_(learning_rate), limit)


def _steps(model: Word2Vec, inputs: Any, blocks: Blocks, size: int, rates: Sequence[RowRates]) -> None:
    outputs, shape = model.network.outputs.data, model.shape
    for part in blocks.split(size):
        if model.tree is not None:
            hierarchical.path_step(inputs, outputs, part, model.tree, model.cbow, shape, *rates)
        elif model.cbow:
            negative_sampling.cbow_step(inputs, outputs, part, model.means, shape, *rates)
        else:
            negative_sampling.skipgram_step(inputs, outputs, part, model.table, shape, *rates)


def _received(model: Word2Vec, blocks: Blocks) -> Tensor:
    """About how many updates every word of the text gets [words]."""
    terms = 1.0 + model.shape.negatives if model.tree is None else model.tree.mean_depth
    sizes = blocks.sizes.view(-1).roll(model.shape.window)
    return torch.full_like(sizes, terms) if model.cbow else sizes * terms
