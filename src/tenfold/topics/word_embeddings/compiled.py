r"""Negative sampling pair after pair, compiled for processors; `negative_sampling` is for what multiplies matrices.

The same passages and the same noise words as there. Every prediction moves its rows before the next is made, as in
word2vec.c, so that nothing overshoots. Noise words are taken in turn from those of the passage, which stay in the
cache: a centre takes `negatives` of them under CBOW, and twice as many for all its pairs together under skip-gram.
"""

import math
from typing import Any

import numba
import numpy as np
from torch import Tensor

from tenfold.topics.word_embeddings.blocks import Blocks, BlockShape
from tenfold.topics.word_embeddings.tables import Composed, WordTable

_jit = numba.njit(nogil=True, fastmath=True, error_model="numpy", cache=True)


def step(
    inputs: WordTable | Composed,
    outputs: Tensor,
    blocks: Blocks,
    shape: BlockShape,
    cbow: bool,
    learning_rate: float,
    cap: float,
) -> None:
    """Train on all passages, centre after centre, in place.

    `outputs` [words, channels], as those of `inputs` float32 or float64 on the CPU. `cap` bounds the rate of an update.
    """
    rows = inputs.place[blocks.text] if isinstance(inputs, Composed) else blocks.text
    reach = blocks.bands // shape.block
    left, right = reach // (shape.window + 1), reach % (shape.window + 1)
    tables = inputs.weight.detach().numpy(), outputs.numpy()
    ids = (part.numpy() for part in (rows, blocks.text, left, right, blocks.noise))
    rates = np.array([learning_rate, cap], dtype=tables[1].dtype)
    walk: Any = _cbow if cbow else _skipgram
    walk(*tables, *ids, shape.window, shape.negatives, rates)


@_jit
def _move(hidden: Any, target: Any, change: Any, label: Any, one: Any, rate: Any) -> None:
    """One prediction: move `target` by the gradient of -log sigma(±h·u), add to `change` what moves `hidden`."""
    score = hidden[0] * target[0]
    for channel in range(1, len(hidden)):
        score += hidden[channel] * target[channel]
    slope = rate * (label - one / (one + math.exp(-score)))
    for channel in range(len(hidden)):
        before = target[channel]
        change[channel] += slope * before
        target[channel] = before + slope * hidden[channel]


@_jit
def _skipgram(
    inputs: Any,
    outputs: Any,
    rows: Any,
    texts: Any,
    lefts: Any,
    rights: Any,
    noise: Any,
    window: int,
    negatives: int,
    rates: Any,
) -> None:
    change = np.empty_like(inputs[0])
    one, none, rate, cap = rates.dtype.type(1), rates.dtype.type(0), rates[0], rates[1]
    for passage in range(len(texts)):
        text, lot = texts[passage], 0
        for place in range(len(text) - 2 * window):
            left, right = lefts[passage, place], rights[passage, place]
            if left + right == 0:
                continue
            middle = place + window
            hidden = inputs[rows[passage, middle]]
            change[:] = 0
            for near in range(middle - left, middle + right + 1):
                if near != middle:
                    _move(hidden, outputs[text[near]], change, one, one, rate)
            weighted = min(rate * (left + right) / 2, cap)
            for _ in range(2 * negatives):
                _move(hidden, outputs[noise[passage, lot]], change, none, one, weighted)
                lot = lot + 1 if lot + 1 < noise.shape[1] else 0
            hidden += change


@_jit
def _cbow(
    inputs: Any,
    outputs: Any,
    rows: Any,
    texts: Any,
    lefts: Any,
    rights: Any,
    noise: Any,
    window: int,
    negatives: int,
    rates: Any,
) -> None:
    hidden, change = np.empty_like(inputs[0]), np.empty_like(inputs[0])
    one, none, rate = rates.dtype.type(1), rates.dtype.type(0), min(rates[0], rates[1])
    for passage in range(len(texts)):
        lot = 0
        for place in range(texts.shape[1] - 2 * window):
            left, right = lefts[passage, place], rights[passage, place]
            if left + right == 0:
                continue
            middle, share = place + window, one / (left + right)
            hidden[:] = 0
            for near in range(middle - left, middle + right + 1):
                if near != middle:
                    hidden += inputs[rows[passage, near]]
            hidden *= share
            change[:] = 0
            _move(hidden, outputs[texts[passage, middle]], change, one, one, rate)
            for _ in range(negatives):
                _move(hidden, outputs[noise[passage, lot]], change, none, one, rate)
                lot = lot + 1 if lot + 1 < noise.shape[1] else 0
            change *= share
            for near in range(middle - left, middle + right + 1):
                if near != middle:
                    row = inputs[rows[passage, near]]
                    row += change
