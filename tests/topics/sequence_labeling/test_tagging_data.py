"""Column files and the People's Daily as tagged sentences: reading, conversion, vocabularies, baselines."""

from __future__ import annotations

from itertools import chain, islice
from pathlib import Path

import pytest
import torch

from tenfold.config.spec import spec_from_dict
from tenfold.data.text.conll import read_conll
from tenfold.data.text.people_daily import name_spans, read_documents
from tenfold.errors import UserError
from tenfold.topics.sequence_labeling.data import NO_TAG
from tenfold.topics.sequence_labeling.sources import TASKS, Conll
from tenfold.topics.sequence_labeling.spans import extract

IOB1 = """-DOCSTART- -X- O

EU NNP I-ORG
rejects VBZ O
German JJ I-MISC
call NN O

Peter NNP I-PER
Blackburn NNP I-PER
"""


def conll(tmp_path: Path, train: str, val: str = "Peter\tB-PER\n", **options) -> Conll:
    for name, text in (("train", train), ("val", val)):
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    return Conll(train=str(tmp_path / "train.txt"), val=str(tmp_path / "val.txt"), batch_size=2, min_count=1, **options)


def test_columns_by_white_space_without_document_lines(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(IOB1, encoding="utf-8-sig")
    sentences = list(read_conll(tmp_path / "a"))
    assert [len(sentence) for sentence in sentences] == [4, 2]
    assert sentences[0][0] == ["EU", "NNP", "I-ORG"]


def test_columns_by_tabs_keep_tokens_of_white_space(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("a b\tO\r\n\u3000\tO\r\n\r\n\r\n#\tO".encode())
    assert list(read_conll(tmp_path / "a")) == [[["a b", "O"], ["\u3000", "O"]], [["#", "O"]]]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"a O\nb\n", "line 2: found 1 columns, expected 2"),
        (b"a O\n\nb x O\n", "line 3: found 3 columns, expected 2"),
        ("ä O\n".encode("latin-1"), "line 1: byte 1 (0xe4) is not UTF-8"),
    ],
)
def test_damaged_files_are_refused_with_their_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.conll").write_bytes(content)
    with pytest.raises(UserError) as error:
        list(read_conll(tmp_path / "a.conll"))
    assert message in str(error.value)
    assert str(tmp_path / "a.conll") in str(error.value)


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "train.conll").write_text("a O\n")
    with pytest.raises(UserError, match=r"train\.conl: no such file; did you mean 'train.conll'"):
        list(read_conll(tmp_path / "train.conl"))


def test_tags_are_converted_and_vocabularies_are_those_of_training(tmp_path: Path) -> None:
    data = conll(tmp_path, IOB1.replace(" ", "\t"), "Paris\tNNP\tI-LOC\nEU\tNNP\tI-ORG\n")
    data.setup()
    assert data.sentences["train"][1].tags == ["B-PER", "E-PER"]
    assert data.spec.tags[0] == "O"
    assert set(data.spec.types) == {"ORG", "MISC", "PER", "<unseen>"}
    assert "paris" not in data.spec.vocabularies[0]
    batch = data.sample("val", 1)
    assert [data.spec.gold_tags[k] for k in batch.tags[0].tolist()] == ["S-<unseen>", "S-ORG"]
    assert batch.inputs[0, 0, 0] == 1
    assert batch.inputs[0, 1, 0] > 1


def test_batches_are_padded_and_the_spec_survives_a_checkpoint(tmp_path: Path) -> None:
    data = conll(tmp_path, IOB1, "EU x B-ORG\n", max_characters=5)
    data.setup()
    batch = data.sample("train", 2)
    assert batch.inputs.shape == (2, 4, 8 + 5)
    assert batch.tags[1].tolist()[2:] == [NO_TAG, NO_TAG]
    assert (batch.inputs[1, 2:] == 0).all()
    assert (batch.inputs[1, :2, 0] > 0).all()
    spec = spec_from_dict(data.spec.to_dict())
    assert spec == data.spec
    lines, inputs = next(iter(spec.read([_file(tmp_path, "EU rejects German call\nPeter Blackburn\n")], 8)))
    assert lines == ["EU rejects German call", "Peter Blackburn"]
    assert torch.equal(inputs, batch.inputs)


def _file(folder: Path, text: str) -> str:
    (folder / "raw.txt").write_text(text, encoding="utf-8")
    return str(folder / "raw.txt")


def test_illegal_gold_is_repaired_and_counted_or_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train = "a\tO\nb\tI-X\nc\tI-X\n\nd\tB-X\nd\tO\n"
    data = conll(tmp_path, train, "a\tB-X\n")
    with caplog.at_level("WARNING"):
        data.setup()
    assert "1 sentences of train with tags that iob2 forbids were repaired" in caplog.text
    assert data.sentences["train"][0].tags == ["O", "B-X", "E-X"]
    with pytest.raises(UserError, match=r"data\.illegal: I-X at 'b' breaks iob2"):
        conll(tmp_path, train, "a\tB-X\n", illegal="refuse").setup()


def test_splits_in_schemes_of_their_own_are_legal(tmp_path: Path) -> None:
    data = conll(tmp_path, "a\tI-X\nb\tI-X\nc\tO\n", "a\tO\nb\tB-X\nc\tE-X\nd\tS-X\n", illegal="refuse")
    data.setup()
    assert data.sentences["train"][0].tags == ["B-X", "E-X", "O"]
    assert data.sentences["val"][0].tags == ["O", "B-X", "E-X", "S-X"]


def test_plain_labels_need_no_scheme(tmp_path: Path) -> None:
    train, val = "the\tDT\ndog\tNN\n", "a\tDT\nfox\tFW\n"
    with pytest.raises(UserError, match=r"data\.scheme: the tags mark no spans"):
        conll(tmp_path, train, val).setup()
    data = conll(tmp_path, train, val, scheme=None)
    data.setup()
    assert data.spec.tags == ("DT", "NN")
    assert [data.spec.gold_tags[k] for k in data.sample("val", 1).tags[0]] == ["DT", "<unseen>"]


def test_wrong_options_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.scheme: found 'bio', expected iob2, bioes or null; did you mean"):
        conll(tmp_path, IOB1, scheme="bio")
    with pytest.raises(UserError, match=r"data\.tag_column: found 7, but .* has 3 columns"):
        conll(tmp_path, IOB1, tag_column=7).setup()


def test_the_baseline_is_each_words_most_frequent_tag(tmp_path: Path) -> None:
    data = conll(tmp_path, "Rome\tB-L\nis\tO\n\nRome\tB-L\n\nRome\tB-P\n", "Rome\tB-L\nis\tO\nOslo\tB-L\n")
    data.setup()
    scores = data.baseline("val")
    assert scores["accuracy"] == pytest.approx(1.0)  # S-L is the most frequent tag of all, too
    assert scores["f1"] == pytest.approx(1.0)
    data.sentences["val"][0].tags[2] = "O"
    assert data.baseline("val") == {"accuracy": pytest.approx(2 / 3), "f1": pytest.approx(2 / 3)}


def test_people_daily_tasks_agree_with_its_words() -> None:
    documents = list(islice(read_documents(), 3))
    for words in chain.from_iterable(documents):
        text = "".join(word for word, _ in words)
        segmented = TASKS["segmentation"](words, "bioes")
        assert "".join(segmented.tokens) == text
        assert [text[start:stop] for start, stop, _ in extract(segmented.tags)] == [word for word, _ in words]
        assert extract(TASKS["names"](words, "bioes").tags) == list(name_spans(words))
        assert TASKS["pos"](words, "bioes").tags == [tag for _, tag in words]
    assert documents[0][1] == [
        ("中共中央", "nt"), ("总书记", "n"), ("、", "w"), ("国家", "n"), ("主席", "n"), ("江", "nr"), ("泽民", "nr"),
    ]  # fmt: skip


def test_a_surname_and_a_given_name_are_one_person() -> None:
    words = [("江", "nr"), ("泽民", "nr"), ("克林顿", "nr"), ("司马", "nr"), ("光", "nr"), ("在", "p"), ("北京", "ns")]
    assert list(name_spans(words)) == [(0, 3, "PER"), (3, 6, "PER"), (6, 9, "PER"), (10, 12, "LOC")]
