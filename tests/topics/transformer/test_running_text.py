"""Text in blocks: in evaluation each character counts once, with the text before it."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch

from tenfold.errors import UserError
from tenfold.topics.transformer.kneser_ney import kneser_ney_nats
from tenfold.topics.transformer.running_text import PythonReferenceText, TextFiles, without_copies

TEXT = "".join(chr(97 + (i * i) % 23) for i in range(1000))


def ready(tmp_path, text: str = TEXT, **options) -> TextFiles:
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    data = TextFiles(
        path=str(tmp_path / "text.txt"), batch_size=4, **{"block": 32, "stride": 8, "context": 20, **options}
    )
    data.setup()
    return data


def test_the_last_part_is_test_and_the_part_before_it_val(tmp_path):
    data = ready(tmp_path, val_fraction=0.05, test_fraction=0.1)
    assert (data.texts["train"], data.texts["val"], data.texts["test"]) == (TEXT[:850], TEXT[850:900], TEXT[900:])
    assert data.span("test") == (900, 1000)


@pytest.mark.parametrize("context", [0, 20, 31])
@pytest.mark.parametrize("split", ["val", "test"])
def test_each_character_of_a_measured_split_counts_once_and_has_its_context(tmp_path, split, context):
    data = ready(tmp_path, context=context, val_fraction=0.053)
    begin, end = data.span(split)
    counted: Counter = Counter()
    dataset = data.splits[split]
    batch = dataset.fetch(torch.arange(len(dataset)))
    for start, tokens, lead in zip(dataset.starts.tolist(), batch.tokens, batch.context.tolist(), strict=True):
        assert torch.equal(tokens, data.stream[start : start + 33].long())
        assert lead >= context
        counted.update(range(start + 1 + lead, start + 33))
    assert counted == Counter(range(begin, end))


def test_training_blocks_overlap_and_stay_within_the_training_text(tmp_path):
    data = ready(tmp_path)
    dataset = data.splits["train"]
    assert dataset.starts.diff().unique().tolist() == [8]
    assert int(dataset.starts[-1]) + 33 <= 850
    assert (dataset.context == 0).all()


def test_the_baseline_is_the_n_gram_model_of_the_training_text_read_up_to_the_split(tmp_path):
    text = "the cat sat on the mat. " * 60
    data = ready(tmp_path, text, order=3)
    tokens = np.array(data.spec.encode(text))
    begin, end = data.span("test")
    train = len(data.texts["train"])
    nats = kneser_ney_nats(tokens[:train], tokens[train:end], len(data.spec.characters) - 1, 3)[begin - train :]
    found = data.baseline("test")
    assert found["loss"] == pytest.approx(nats.mean())
    assert found["bits_per_character"] == pytest.approx(nats.mean() / math.log(2))
    assert found["perplexity"] == pytest.approx(math.exp(nats.mean()))


def test_rare_characters_are_unknown(tmp_path):
    data = ready(tmp_path, "abc" * 200 + "é" + "abc" * 100, min_count=2)
    assert data.spec.characters == ("<pad>", "<unk>", "a", "b", "c")
    assert 1 in data.spec.encode("é")


def test_paragraphs_that_stood_before_are_left_out():
    assert without_copies("one\n\ntwo\n\none\n\nthree\n\n\n\ntwo\n") == "one\n\ntwo\n\nthree\n\n"
    data = PythonReferenceText(batch_size=4)
    paragraphs = [p.strip() for p in data.read_texts()["train"].split("\n\n") if p.strip()]
    assert len(paragraphs) == len(set(paragraphs)) > 1000


def test_a_folder_is_read_in_order_of_its_names(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "b.txt").write_text("second " * 50, encoding="utf-8")
    (folder / "a.txt").write_text("first " * 50, encoding="utf-8")
    data = TextFiles(path=str(folder), batch_size=4, block=32, stride=8, context=8)
    data.setup()
    assert "".join(data.texts.values()).split()[0] == "first"


@pytest.mark.parametrize(
    "options, line",
    [
        ({"context": 32}, "data.context: found 32, expected 0 to 31, less than data.block"),
        ({"block": 2000}, "data.block: found 2000, but the training text has 850 characters"),
        ({"stride": 0}, "data.stride: found 0, expected at least 1"),
        ({"order": -1}, "data.order: found -1, expected at least 0"),
        ({"text": " \n"}, "holds no text"),
    ],
)
def test_bad_options_are_told_in_one_line(tmp_path, options, line):
    with pytest.raises(UserError) as error:
        ready(tmp_path, **options)
    assert line in str(error.value)


def test_an_unknown_character_of_a_prompt_is_told(tmp_path):
    spec = ready(tmp_path).spec
    with pytest.raises(UserError, match=r"input: character 3 of 'abÜ', 'Ü', is none of the \d+ that the model has"):
        spec.encode_prompt("abÜ")


def test_without_an_order_there_is_no_baseline(tmp_path):
    assert ready(tmp_path, order=0).baseline("test") == {}
