"""Pairs of texts: splits, tokens and what is refused."""

from __future__ import annotations

import pytest
import torch

from tenfold.errors import UserError
from tenfold.topics.transformer.pairs import PairTSV
from tenfold.topics.transformer.spec import END_IDX, START_IDX, PairSpec

UNKNOWN_IDX = 1


@pytest.fixture
def path(tmp_path):
    rows = [f"s{i % 50} x\tt{i % 50} {i // 50}\n" for i in range(100)]  # two targets for each source
    file = tmp_path / "pairs.tsv"
    file.write_text("".join(rows), encoding="utf-8")
    return file


def ready(path, **options) -> PairTSV:
    data = PairTSV(path=str(path), batch_size=4, **options)
    data.setup()
    return data


def test_all_pairs_of_a_source_are_in_one_split_and_all_pairs_are_in_some(path):
    data = ready(path, val_fraction=0.2, test_fraction=0.1)
    sources = {split: {source for source, _ in pairs} for split, pairs in data.pairs.items()}
    assert {split: len(found) for split, found in sources.items()} == {"train": 35, "val": 10, "test": 5}
    assert len(set().union(*sources.values())) == 50
    assert sum(map(len, data.pairs.values())) == 100


def test_files_of_their_own_are_taken_as_they_are(path, tmp_path):
    (tmp_path / "val.tsv").write_text("a\tb\n", encoding="utf-8")
    data = ready(path, val_path=str(tmp_path / "val.tsv"))
    assert data.pairs["val"] == [("a", "b")]
    assert len(data.pairs["test"]) == 10 and len(data.pairs["train"]) == 90


@pytest.mark.parametrize("unit", ["characters", "words"])
def test_a_batch_is_the_pairs_with_their_signs(path, unit):
    data = ready(path, unit=unit)
    batch = data.sample("train", 5)
    assert data.spec.decode_source(batch.source) == [source for source, _ in data.pairs["train"][:5]]
    assert data.spec.decode(batch.target[:, 1:]) == [target for _, target in data.pairs["train"][:5]]
    assert (batch.target[:, 0] == START_IDX).all()
    assert ((batch.target == END_IDX).sum(1) == 1).all() and ((batch.source == END_IDX).sum(1) == 1).all()


def test_the_vocabulary_is_that_of_training_and_its_signs_cannot_be_typed(tmp_path):
    file = tmp_path / "pairs.tsv"
    file.write_text("<end> a a\tb\n", encoding="utf-8")
    (tmp_path / "val.tsv").write_text("a new\tb new\n", encoding="utf-8")
    data = ready(file, unit="words", val_path=str(tmp_path / "val.tsv"), test_fraction=0.0)
    assert data.spec.source_tokens == ("<pad>", "<unk>", "<start>", "<end>", "a")
    assert data.sample("val", 1).source.tolist() == [[4, UNKNOWN_IDX, END_IDX]]
    assert data.spec.unknown("a new <end> new") == ["new", "<end>"]
    assert data.spec.encode_source("<end> a") == [UNKNOWN_IDX, 4, END_IDX]


def test_the_baseline_is_the_commonest_answer(tmp_path):
    file = tmp_path / "pairs.tsv"
    file.write_text("a\tyes\nb\tyes\nc\tno\n", encoding="utf-8")
    (tmp_path / "val.tsv").write_text("d\tyes\ne\tno\nf\tyes\n", encoding="utf-8")
    data = ready(file, val_path=str(tmp_path / "val.tsv"), test_fraction=0.0)
    found = data.baseline("val")
    assert found["exact_match"] == pytest.approx(2 / 3)
    assert found["token_accuracy"] == pytest.approx(3 / 11)  # the end sign: 3 of the val's 4 + 4 + 3 tokens


@pytest.mark.parametrize(
    "content, line",
    [
        ("a\tb\nno tab\n", "pairs.tsv line 2: found 'no tab', expected a source, one TAB and its target"),
        ("a\tb\tc\n", "line 1: found 'a\\tb\\tc', expected a source, one TAB"),
        ("\n", "the file holds no pair"),
        (f"a\tb\n{'x' * 201}\tb\n", "line 2: has a text of 201 characters, expected at most 200 (data.max_length)"),
    ],
)
def test_a_bad_file_is_told_by_its_line(tmp_path, content, line):
    file = tmp_path / "pairs.tsv"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as error:
        ready(file)
    assert line in str(error.value)


def test_a_source_longer_than_any_the_model_may_see_is_refused():
    spec = PairSpec(
        ("<pad>", "<unk>", "<start>", "<end>", "a"), ("<pad>", "<unk>", "<start>", "<end>"), "characters", 5, 9
    )
    assert spec.encode_source("aaaaa") == [4] * 5 + [END_IDX]
    with pytest.raises(UserError, match=r"input: 'aaaaaa' has 6 characters, expected at most 5"):
        spec.encode_source("aaaaaa")


def test_decoding_stops_at_the_end_sign():
    spec = PairSpec((), ("<pad>", "<unk>", "<start>", "<end>", "a", "b"), "words", 5, 9)
    assert spec.decode(torch.tensor([[4, 5, 3, 0, 0], [5, 3, 4, 4, 4], [4, 4, 4, 4, 5]])) == ["a b", "b", "a a a a b"]
