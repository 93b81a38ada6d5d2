r"""Negative sampling centre after centre, compiled for processors; `negative_sampling` is for what multiplies matrices.

The same passages and the same noise words as there. Every four predictions move their rows before the next are made,
nearly as in word2vec.c, so that nothing overshoots. Noise words are taken in turn from those of the passage, which stay
in the cache: a centre takes `negatives` of them under CBOW, and four times as many for all its pairs under skip-gram.
"""

import functools
import math
from typing import Any

import numba
import numpy as np
from torch import Tensor

from tenfold.topics.word_embeddings.blocks import Blocks, BlockShape
from tenfold.topics.word_embeddings.tables import SubwordTable, WordTable

_jit = numba.njit(nogil=True, fastmath=True, error_model="numpy", cache=True)


def step(
    inputs: WordTable | SubwordTable,
    outputs: Tensor,
    blocks: Blocks,
    shape: BlockShape,
    cbow: bool,
    learning_rate: float,
    cap: float,
) -> None:
    """Train on all passages, centre after centre, in place.

    `outputs` [words, channels], as those of `inputs` float32 or float64 on the CPU. `cap` bounds the rate of an update.
    Words of a `SubwordTable` are put together anew for every centre, and each of their rows takes the whole change.
    """
    reach = blocks.bands // shape.block
    left, right = reach // (shape.window + 1), reach % (shape.window + 1)
    passages = tuple(part.numpy() for part in (blocks.text, left, right, blocks.noise))
    table, vectors = inputs.weight.detach().numpy(), outputs.numpy()
    if isinstance(inputs, WordTable):
        parts = _themselves(len(table))
    else:
        parts = (inputs.rows.numpy(), inputs.offsets.numpy())
    walk: Any = _cbow if cbow else _skipgram
    rates = np.array([learning_rate, cap], dtype=vectors.dtype)
    walk(table, vectors, parts, passages, shape.window, shape.negatives, rates)


@functools.lru_cache(maxsize=1)
def _themselves(words: int) -> tuple[Any, Any]:
    """Words whose only row is their own."""
    return np.arange(words), np.arange(words + 1)


@_jit
def _add_mean(table: Any, parts: Any, word: int, share: Any, into: Any) -> None:
    """Add to `into` the mean of a word's rows, times `share`."""
    rows, offsets = parts
    begin, end = offsets[word], offsets[word + 1]
    share = share / into.dtype.type(end - begin)
    for row in rows[begin:end]:
        for channel in range(len(into)):
            into[channel] += share * table[row, channel]


@_jit
def _move(table: Any, parts: Any, word: int, change: Any) -> None:
    """Add `change` to all of a word's rows."""
    rows, offsets = parts
    for row in rows[offsets[word] : offsets[word + 1]]:
        for channel in range(len(change)):
            table[row, channel] += change[channel]


@_jit
def _slope(hidden: Any, table: Any, row: int, label: Any, one: Any, rate: Any) -> Any:
    """Minus the gradient of -log sigma(±h·u) by the score, times the rate."""
    score = hidden[0] * table[row, 0]
    for channel in range(1, len(hidden)):
        score += hidden[channel] * table[row, channel]
    return rate * (label - one / (one + math.exp(-score)))


@_jit
def _predict(hidden: Any, table: Any, rows: Any, change: Any, label: Any, one: Any, rate: Any) -> None:
    """Predictions of `rows` of a table, four at a time: move these, and add to `change` what moves `hidden`.

    Four together read and write `hidden` and `change` once, and keep the processor busier than one after the other.
    """
    channels, fours = len(hidden), len(rows) // 4 * 4
    for begin in range(0, fours, 4):
        a, b, c, d = rows[begin], rows[begin + 1], rows[begin + 2], rows[begin + 3]
        at_a, at_b = _slope(hidden, table, a, label, one, rate), _slope(hidden, table, b, label, one, rate)
        at_c, at_d = _slope(hidden, table, c, label, one, rate), _slope(hidden, table, d, label, one, rate)
        for channel in range(channels):
            change[channel] += at_a * table[a, channel] + at_b * table[b, channel]
            change[channel] += at_c * table[c, channel] + at_d * table[d, channel]
        for row, slope in ((a, at_a), (b, at_b), (c, at_c), (d, at_d)):
            for channel in range(channels):
                table[row, channel] += slope * hidden[channel]
    for number in range(fours, len(rows)):
        row = rows[number]
        slope = _slope(hidden, table, row, label, one, rate)
        for channel in range(channels):
            change[channel] += slope * table[row, channel]
        for channel in range(channels):
            table[row, channel] += slope * hidden[channel]


@_jit
def _take(lots: Any, lot: int, taken: Any) -> int:
    """The next words of a passage's, round and round."""
    for number in range(len(taken)):
        taken[number] = lots[lot]
        lot = lot + 1 if lot + 1 < len(lots) else 0
    return lot


@_jit
def _skipgram(inputs: Any, outputs: Any, parts: Any, passages: Any, window: int, negatives: int, rates: Any) -> None:
    texts, lefts, rights, noise = passages
    hidden, change = np.empty_like(inputs[0]), np.empty_like(inputs[0])
    around, taken = np.empty(2 * window, np.int64), np.empty(4 * negatives, np.int64)
    one, none, rate, cap = rates.dtype.type(1), rates.dtype.type(0), rates[0], rates[1]
    for passage in range(len(texts)):
        lot = 0
        for place in range(texts.shape[1] - 2 * window):
            left, right = lefts[passage, place], rights[passage, place]
            size = left + right
            if size == 0:
                continue
            middle = place + window
            around[:left] = texts[passage, middle - left : middle]
            around[left:size] = texts[passage, middle + 1 : middle + right + 1]
            lot = _take(noise[passage], lot, taken)
            hidden[:] = 0
            change[:] = 0
            _add_mean(inputs, parts, texts[passage, middle], one, hidden)
            _predict(hidden, outputs, around[:size], change, one, one, rate)
            _predict(hidden, outputs, taken, change, none, one, min(rate * size / 4, cap))
            _move(inputs, parts, texts[passage, middle], change)


@_jit
def _cbow(inputs: Any, outputs: Any, parts: Any, passages: Any, window: int, negatives: int, rates: Any) -> None:
    texts, lefts, rights, noise = passages
    hidden, change, taken = np.empty_like(inputs[0]), np.empty_like(inputs[0]), np.empty(negatives, np.int64)
    one, none, rate = rates.dtype.type(1), rates.dtype.type(0), min(rates[0], rates[1])
    for passage in range(len(texts)):
        lot = 0
        for place in range(texts.shape[1] - 2 * window):
            left, right = lefts[passage, place], rights[passage, place]
            if left + right == 0:
                continue
            middle, share = place + window, one / inputs.dtype.type(left + right)
            lot = _take(noise[passage], lot, taken)
            hidden[:] = 0
            for near in range(middle - left, middle + right + 1):
                if near != middle:
                    _add_mean(inputs, parts, texts[passage, near], share, hidden)
            change[:] = 0
            _predict(hidden, outputs, texts[passage, middle : middle + 1], change, one, one, rate)
            _predict(hidden, outputs, taken, change, none, one, rate)
            change *= share
            for near in range(middle - left, middle + right + 1):
                if near != middle:
                    _move(inputs, parts, texts[passage, near], change)
