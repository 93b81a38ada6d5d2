"""The n-gram baseline against a count of everything by hand."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from tenfold.topics.transformer.kneser_ney import kneser_ney_nats

VOCAB = 5


def probability(train: list[int], history: list[int], token: int, n: int, highest: int) -> float:
    """The formula as it stands; the text is preceded by a sign of its own without end."""
    if n == 0:
        return 1 / VOCAB
    padded = [-1] * highest + train
    grams = [tuple(padded[i - n + 1 : i + 1]) for i in range(highest, len(padded))]
    if n < highest:
        longer = {tuple(padded[i - n : i + 1]) for i in range(highest, len(padded))}
        grams = [gram[1:] for gram in longer]
    counts = Counter(grams)
    sizes = Counter(counts.values())
    discount = sizes[1] / (sizes[1] + 2 * sizes[2]) if sizes[1] else 0.5
    followers: dict = defaultdict(dict)
    for gram, count in counts.items():
        followers[gram[:-1]][gram[-1]] = count
    short = ([-1] * highest + history)[len(history) + highest - n + 1 :]
    after = followers.get(tuple(short))
    lower = probability(train, history, token, n - 1, highest)
    if after is None:
        return lower
    total = sum(after.values())
    return max(after.get(token, 0) - discount, 0) / total + discount * len(after) / total * lower


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_are_those_of_the_formula_and_sum_to_one(order):
    rng = np.random.default_rng(order)
    train = (rng.integers(0, 4, 60) ** 2 % VOCAB).tolist()
    for history in (train[-3:], [0, 1, 4], [3, 3, 3]):
        prefix = train + history
        found = []
        for token in range(VOCAB):
            nats = kneser_ney_nats(np.array(train), np.array([*history, token]), VOCAB, order)
            assert len(nats) == len(history) + 1
            expected = probability(train, prefix, token, order, order)
            assert math.exp(-nats[-1]) == pytest.approx(expected, rel=1e-12)
            found.append(expected)
        assert sum(found) == pytest.approx(1.0, abs=1e-12)


def test_a_text_that_repeats_itself_is_cheap_and_noise_costs_what_it_must():
    text = np.array([0, 1, 2, 3] * 50)
    assert kneser_ney_nats(text, text[:40], VOCAB, 3).mean() < 0.05
    noise = np.random.default_rng(0).integers(0, VOCAB, 4000)
    assert kneser_ney_nats(noise[:2000], noise[2000:], VOCAB, 2).mean() == pytest.approx(math.log(VOCAB), abs=0.02)
