import subprocess
import sys

import pytest

from tenfold.data.labels import majority_baseline
from tenfold.data.text.reviews import Reviews


@pytest.fixture(scope="module")
def data():
    module = Reviews(batch_size=64)
    module.setup()
    return module


def test_sizes_are_those_of_the_docstring(data):
    (raw, class_names) = data.read_texts()
    assert class_names == ("negative", "positive")
    assert len(raw["train"].texts) == 35_123
    assert {split: len(part) for split, part in data.splits.items()} == {"train": 13_891, "val": 1_736, "test": 1_736}


def test_no_text_is_in_two_splits(data):
    everything = [text for part in data.texts.values() for text in part.texts]
    assert len(set(everything)) == len(everything)


def test_classes_are_the_right_way_round(data):
    good, bad = ("非常喜欢", "太差")
    for sign, label in ((good, 1), (bad, 0)):
        labels = [y for text, y in zip(data.texts["train"].texts, data.labels("train").tolist()) if sign in text]
        assert sum(y == label for y in labels) > 0.8 * len(labels) > 50


def test_chinese_is_found_and_read_by_the_character(data):
    assert data.spec.tokenizer == "characters"
    assert 3_000 < data.spec.network_arguments()["vocab_size"] < 6_000


def test_baseline_is_near_a_half(data):
    assert data.baseline("test") == majority_baseline(data.labels("train"), data.labels("test"))
    assert 0.5 < data.baseline("test")["accuracy"] < 0.55


def test_nothing_heavy_is_imported():
    code = (
        "import sys, tenfold.data.text.reviews as r; r.Reviews(batch_size=8).setup();"
        "print([m for m in ('snownlp', 'sklearn', 'pandas') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
