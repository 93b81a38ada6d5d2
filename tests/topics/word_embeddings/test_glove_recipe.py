"""GloVe's data: every pair in one split only, in random order, whatever counting keeps in memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tenfold.errors import UserError
from tenfold.topics.word_embeddings.cooccurrence import chunk_pairs
from tenfold.topics.word_embeddings.data import TextCorpus
from tenfold.topics.word_embeddings.glove import GloVe
from tenfold.topics.word_embeddings.glove_data import Cooccurrences, Entries
from tenfold.topics.word_embeddings.glove_module import GloVeModule


def entries_of(part: Entries, num_words: int) -> dict[int, float]:
    rows, columns, counts = (field.flatten() for field in part)
    real = counts > 0
    return dict(zip((rows * num_words + columns)[real].tolist(), counts[real].tolist(), strict=True))


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TextCorpus:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    words = torch.randint(25, (80, 12), generator=torch.Generator().manual_seed(3)).tolist()
    (tmp_path / "text.txt").write_text("\n".join(" ".join(f"w{word}" for word in line) for line in words))
    return TextCorpus(str(tmp_path / "text.txt"), tokenizer="spaces", min_count=1, length=100)


@pytest.mark.parametrize("limit", [50, 8_000_000])
def test_splits_hold_every_entry_once_and_pairs_whole(text: TextCorpus, limit: int) -> None:
    data = Cooccurrences(text, length=7, window=3, limit=limit, val_fraction=0.2, test_fraction=0.2)
    data.setup()
    corpus = text.read()
    size = len(corpus.words)
    parts = {
        name: entries_of(split.fetch(torch.arange(len(split))), size)  # type: ignore[arg-type]
        for name, split in data.splits.items()
    }
    keys, values = chunk_pairs(np.asarray(corpus.tokens), size, 3)
    whole = {key: value for part in parts.values() for key, value in part.items()}
    assert sum(map(len, parts.values())) == len(whole) == len(keys)
    assert whole == pytest.approx(dict(zip(keys.tolist(), values.tolist(), strict=True)), rel=1e-6)
    for part in parts.values():
        assert {column * size + row for row, column in (divmod(key, size) for key in part)} == set(part)
    assert list(parts["train"]) != sorted(parts["train"])
    assert 0.1 < len(parts["val"]) / len(whole) < 0.3


def test_sparse_steps_learn_left_out_counts_and_padding_counts_for_nothing(text: TextCorpus) -> None:
    torch.manual_seed(0)
    data = Cooccurrences(text, length=7, window=3, val_fraction=0.2, test_fraction=0.2)
    data.setup()
    model = GloVeModule(data.spec, GloVe(len(data.spec.words), 4), step_entries=64)
    train, val = (split.fetch(torch.arange(len(split))) for split in (data.splits["train"], data.splits["val"]))

    def loss() -> float:
        return float(model.losses(val)["squared_error"].detach()) / float(model.weights(val)["squared_error"])

    before = loss()
    for _ in range(40):
        model.train_rows(train, 0.05)
    assert loss() < 0.3 * before
    assert (val.counts == 0).any()
    real = Entries(*(field.flatten()[val.counts.flatten() > 0].unsqueeze(0) for field in val))
    torch.testing.assert_close(model.losses(real), model.losses(val))


def test_the_baseline_is_the_weighted_regression_on_frequencies(text: TextCorpus) -> None:
    data = Cooccurrences(text, length=7, window=3, val_fraction=0.2, test_fraction=0.2, x_max=3.0)
    data.setup()
    network = GloVe(len(data.spec.words), 4, x_max=3.0)
    found = {}
    for name in ("train", "val"):
        part: Any = data.splits[name].fetch(torch.arange(len(data.splits[name])))  # type: ignore[arg-type]
        rows, columns, counts = (field.flatten()[part.counts.flatten() > 0] for field in part)
        frequency = torch.tensor(data.spec.counts).double().log()
        x, y, weight = frequency[rows] + frequency[columns], counts.double().log(), network.weight(counts.double())
        found[name] = x.numpy(), y.numpy(), weight.numpy()
    x, y, weight = found["train"]
    slope, start = np.polyfit(x, y, 1, w=np.sqrt(weight))
    x, y, weight = found["val"]
    expected = float((weight * (start + slope * x - y) ** 2).sum() / weight.sum())
    assert data.baseline("val")["loss"] == pytest.approx(expected, rel=1e-6)


def test_wrong_settings_are_told(text: TextCorpus) -> None:
    with pytest.raises(UserError, match="data.window: found 0"):
        Cooccurrences(text, window=0)
    text.setup()
    with pytest.raises(UserError, match="model.step_entries: found 0"):
        GloVeModule(text.spec, GloVe(3), step_entries=0)
