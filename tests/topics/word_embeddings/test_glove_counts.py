"""GloVe: streamed counts equal a direct count; the step is AdaGrad on the gradient of autograd."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.topics.word_embeddings.blocks import SENTENCE_END
from tenfold.topics.word_embeddings.cooccurrence import count_cooccurrences, read_shard
from tenfold.topics.word_embeddings.glove import GloVe


def direct(sentences: list[list[int]], window: int) -> dict[tuple[int, int], float]:
    counts: Counter[tuple[int, int]] = Counter()
    for sentence in sentences:
        for place, word in enumerate(sentence):
            for other in range(max(0, place - window), min(len(sentence), place + window + 1)):
                if other != place:
                    counts[word, sentence[other]] += 1 / abs(other - place)  # type: ignore[assignment]
    return dict(counts)


@settings(max_examples=25, deadline=None)
@given(
    sentences=st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=25), min_size=1, max_size=9),
    window=st.integers(1, 8),
    limit=st.sampled_from([3, 20, 10_000]),
)
def test_streamed_counts_equal_a_direct_count(
    tmp_path_factory: pytest.TempPathFactory, sentences: list[list[int]], window: int, limit: int
) -> None:
    folder: Path = tmp_path_factory.mktemp("counts")
    chunks = [np.array([*sentence, SENTENCE_END], np.int32) for sentence in sentences]
    shards = count_cooccurrences(chunks, 7, window, folder, limit)
    found: dict[tuple[int, int], float] = {}
    for shard in shards:
        rows, columns, values = read_shard(shard, 7)
        for row, column, value in zip(rows.tolist(), columns.tolist(), values.tolist(), strict=True):
            assert (row, column) not in found
            found[row, column] = value
    assert found == pytest.approx(direct(sentences, window), rel=1e-5)
    assert sorted(folder.iterdir()) == sorted(shards), "spilled runs are gone"


def test_step_is_adagrad_on_autograds_gradient() -> None:
    torch.manual_seed(0)
    model = GloVe(9, 4).double()
    rows, columns = torch.randint(9, (2, 30))
    counts = torch.rand(30, dtype=torch.double) * 150 + 0.1
    loss, weight = model(rows, columns, counts)
    assert weight == pytest.approx(float((counts / 100).clamp(max=1).pow(0.75).sum()))
    (loss / 2).backward()
    expected = {}
    for name, table in (("words", model.words), ("contexts", model.contexts)):
        gradient = table.grad
        expected[name] = table.detach() - 0.05 * gradient / (1 + gradient**2).sqrt()
    model.step(rows, columns, counts, 0.05)
    torch.testing.assert_close(model.words.detach(), expected["words"])
    torch.testing.assert_close(model.contexts.detach(), expected["contexts"])


def test_the_fit_recovers_counts_of_low_rank() -> None:
    torch.manual_seed(1)
    true = torch.randn(12, 3) * 0.5
    logs = true @ true.T + 2
    rows, columns = torch.meshgrid(torch.arange(12), torch.arange(12), indexing="ij")
    rows, columns, counts = rows.flatten(), columns.flatten(), logs.exp().flatten()
    model = GloVe(12, 8, x_max=10)
    before = model(rows, columns, counts)[0].item()
    for _ in range(400):
        model.step(rows, columns, counts, 0.05)
    assert model(rows, columns, counts)[0].item() < before / 100
