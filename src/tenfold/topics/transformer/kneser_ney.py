"""The n-gram model that a language model has to beat."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


def kneser_ney_nats(train: Ids, text: Ids, vocab_size: int, order: int = 5) -> NDArray[np.float64]:
    r"""Nats of each token of `text` after those before it, by an n-gram model with interpolated Kneser–Ney smoothing.

    .. math::
        p_n(w | h) = \frac{\max(c(hw) - D_n, 0)}{c(h\,\cdot)} + D_n \frac{N_{1+}(h\,\cdot)}{c(h\,\cdot)} p_{n-1}(w | h')

    h' is h without its oldest token, :math:`p_0` uniform over `vocab_size` tokens, and a history that was never seen
    leaves all to the shorter one. The counts c are those of `train` for n = `order`; below it, c(hw) is the number of
    distinct tokens seen before hw. :math:`N_{1+}(h\,\cdot)` is the number of distinct tokens seen after h, and
    :math:`D_n = n_1 / (n_1 + 2 n_2)`, of the n-grams that count once and twice (Kneser & Ney, 1995; Chen & Goodman,
    1999).

    train: tokens `[tokens]` that are counted.
    text: tokens `[tokens]`; the last ones of `train` are the first one's history.
    """
    stream, seen = np.concatenate([train, text]), len(train)
    grams = _grams(stream, order)
    probabilities = np.full(len(text), 1 / vocab_size)
    for number, gram in enumerate(grams):
        if number == order - 1:
            counts = np.bincount(gram.ids[:seen], minlength=gram.ids.max() + 1)
        else:  # of each distinct longer one that ends in it, one occurrence
            _, first = np.unique(grams[number + 1].ids[:seen], return_index=True)
            counts = np.bincount(gram.ids[first], minlength=gram.ids.max() + 1)
        probabilities = _interpolated(gram, counts, seen, probabilities)
    return -np.log(probabilities)


class _Grams(NamedTuple):
    """The n-gram that ends at each token of a stream, `[tokens]`: its number, and the number of its first n - 1 tokens.

    Equal n-grams have equal numbers; before the stream's first token stands one and the same sign without end.
    """

    ids: Ids
    histories: Ids


def _grams(stream: Ids, order: int) -> list[_Grams]:
    found: list[_Grams] = []
    histories, width = np.zeros_like(stream), int(stream.max()) + 1
    for _ in range(order):
        _, ids = np.unique(histories * width + stream, return_inverse=True)
        found.append(_Grams(ids, histories))
        histories = np.concatenate([[0], ids[:-1] + 1])
    return found


def _interpolated(gram: _Grams, counts: Ids, seen: int, shorter: NDArray[np.float64]) -> NDArray[np.float64]:
    """The probability of each token after `seen`, from those that `shorter` histories give."""
    history_of = np.zeros(len(counts), np.int64)
    history_of[gram.ids] = gram.histories
    counted, size = counts > 0, int(gram.histories.max()) + 1
    totals = np.bincount(history_of, weights=counts, minlength=size)
    followers = np.bincount(history_of[counted], minlength=size)
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    discount = once / (once + 2 * twice) if once else 0.5  # of counts that never are 1 nothing can be estimated
    ids, histories = gram.ids[seen:], gram.histories[seen:]
    kept = np.maximum(counts[ids] - discount, 0) + discount * followers[histories] * shorter
    return np.where(totals[histories] > 0, kept / np.maximum(totals[histories], 1), shorter)
