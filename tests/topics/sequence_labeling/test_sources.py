"""CoNLL-U and role columns as tagged sentences, and what is refused in them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tenfold.data.text.conllu import read_conllu
from tenfold.errors import UserError
from tenfold.topics.sequence_labeling.data import Sentence, cut_sentence
from tenfold.topics.sequence_labeling.sources import Conll, ConllU, PeopleDaily, Roles
from tenfold.topics.sequence_labeling.spans import extract

TREEBANK = """# sent_id = 1
# text = Vámonos al mar.
1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tVamos\tir\tVERB\tV\tMood=Imp|Number=Plur\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\tP\tCase=Acc\t1\tobj\t_\t_
2.1\tahora\tahora\tADV\t_\t_\t_\t_\t_\t_
3\tmar\tmar\tNOUN\tN\t_\t1\tobl\t_\t_

1\tmar azul\tmar\tNOUN\tN\t_\t0\troot\t_\t_
"""
ROLES = """#begin document (x)
She - (A0*) *
told tell (V*) *
him - (A2*) (A0*)
to - (A1* *
run run *) (V*)

It - *
"""


def written(folder: Path, text: str | bytes) -> dict[str, str]:
    for name in ("train", "val"):
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return {name: str(folder / name) for name in ("train", "val")}


def test_a_treebanks_words_are_read_without_comments_ranges_and_empty_nodes(tmp_path: Path) -> None:
    files = written(tmp_path, TREEBANK)
    assert [[row[1] for row in rows] for rows in read_conllu(tmp_path / "train")] == [
        ["Vamos", "nos", "mar"],
        ["mar azul"],
    ]
    for field, tags in {"upos": ["VERB", "PRON", "NOUN"], "feats": ["Mood=Imp|Number=Plur", "Case=Acc", "_"]}.items():
        data = ConllU(field=field, scheme=None, min_count=1, batch_size=2, **files)
        data.setup()
        assert data.sentences["train"][0].tags == tags
        assert data.sentences["train"][1].tokens == ["mar azul"]


@pytest.mark.parametrize("line", ["1\ta\tb", "x\t" + "\t".join("abcdefghi"), "1 a _ X _ _ _ _ _ _"])
def test_what_is_no_treebank_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "a").write_text(f"# c\n{line}\n")
    with pytest.raises(UserError, match="a line 2: found .* columns .*expected the 10 of CoNLL-U"):
        list(read_conllu(tmp_path / "a"))


def test_each_predicate_makes_an_example_and_stands_in_brackets(tmp_path: Path) -> None:
    data = Roles(min_count=1, batch_size=2, tokenizer="spaces", **written(tmp_path, ROLES))
    data.setup()
    first, second = data.sentences["train"]
    assert first.tokens == ["She", "[told]", "him", "to", "run"]
    assert extract(first.tags) == [(0, 1, "A0"), (2, 3, "A2"), (3, 5, "A1")]
    assert second.tokens[-1] == "[run]"
    assert extract(second.tags) == [(2, 3, "A0")]
    words, beside = data.spec.vocabularies[0], data.spec.vocabularies[-2]
    shown = data.spec.encode(first.tokens)
    assert [words[k] for k in shown[:, 0]] == ["she", "told", "him", "to", "run"]
    assert [beside[k] for k in shown[:, 8]] == ["-1", "0", "1", "2", "3"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("a x (A0*\n", r"role \(A0\* is not closed"),
        ("a x *)\n", r"role '\*\)' at token 1, expected brackets"),
        ("a x A0\n", "role 'A0' at token 1"),
        ("a x (A0*\nb - (A1*)\n", r"role '\(A1\*\)' at token 2"),
        ("a x\n", "has 1 predicates, expected a column of roles for each"),
    ],
)
def test_broken_roles_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Roles(batch_size=2, **written(tmp_path, text)).setup()


@pytest.mark.parametrize("text", ["", "\n\n\n", "-DOCSTART- O\n\n"])
def test_a_file_without_sentences_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"data\.train: .* has no sentence"):
        Conll(batch_size=2, **written(tmp_path, text)).setup()


def test_mixed_encodings_are_refused_with_their_line(tmp_path: Path) -> None:
    mixed = "Bärn\tB-LOC\n\n".encode() + "Zürich\tB-LOC\n".encode("latin-1")
    with pytest.raises(UserError, match=r"train line 3: byte 2 \(0xfc\) is not UTF-8"):
        Conll(batch_size=2, **written(tmp_path, mixed)).setup()


def test_tokens_of_white_space_and_empty_sentences_do_no_harm(tmp_path: Path) -> None:
    text = "\n\n\u3000\tO\n\u00a0\tB-X\n\n\n\n \tO\nb\tB-X\n"
    data = Conll(min_count=1, batch_size=2, **written(tmp_path, text))
    data.setup()
    assert [sentence.tokens for sentence in data.sentences["train"]] == [["\u3000", "\u00a0"], [" ", "b"]]
    assert (data.sample("train", 2).inputs[..., 0] > 1).all()


def test_a_very_long_sentence_is_cut_outside_of_its_spans(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = ["a\tO", "b\tB-X", "c\tI-X"] * 33_334
    data = Conll(max_length=1000, batch_size=2, **written(tmp_path, "\n".join(lines) + "\n"))
    with caplog.at_level("WARNING"):
        data.setup()
    assert "sentences of train longer than 1000 tokens were cut" in caplog.text
    lengths = [len(sentence.tokens) for sentence in data.sentences["train"]]
    assert sum(lengths) == len(lines)
    assert max(lengths) <= 1000
    assert sum(len(extract(sentence.tags)) for sentence in data.sentences["train"]) == 33_334


def test_a_span_longer_than_the_limit_is_cut_where_it_must_be() -> None:
    pieces = list(cut_sentence(Sentence(list("abcde"), ["B-X", *["I-X"] * 4]), 2, spans=True))
    assert [piece.tokens for piece in pieces] == [["a", "b"], ["c", "d"], ["e"]]


def test_the_peoples_daily_is_split_by_document_and_can_be_cut_short() -> None:
    data = PeopleDaily(
        task="names", unit="character", batch_size=2, max_documents=6, val_fraction=1 / 6, test_fraction=1 / 3
    )
    data.setup()
    whole = PeopleDaily(task="names", unit="character", batch_size=2, max_documents=6, val_fraction=0, test_fraction=0)
    sentences = {split: {"".join(s.tokens) for s in part} for split, part in data.sentences.items()}
    assert sum(map(len, data.sentences.values())) == len(whole.read_sentences()["train"])
    assert min(map(len, sentences.values())) > 10
    assert set(data.spec.types) == {"PER", "LOC", "ORG", "<unseen>"}
    again = PeopleDaily(
        task="names", unit="character", batch_size=2, max_documents=6, val_fraction=1 / 6, test_fraction=1 / 3
    )
    assert again.read_sentences()["test"] == data.sentences["test"]


def test_a_fraction_of_nothing_is_no_split() -> None:
    data = PeopleDaily(
        task="names", unit="character", batch_size=2, max_documents=6, val_fraction=0, test_fraction=1 / 3
    )
    data.setup()
    assert data.splits.keys() == {"train", "test"} and data.val_dataloader() == []


def test_vectors_of_words_that_training_lacks_reach_the_network(tmp_path: Path) -> None:
    (tmp_path / "vectors.txt").write_text("3 2\nOslo 1.0 0.0\nbern 0.0 1.0\nin -1.0 -1.0\n")
    files = written(tmp_path, "in\tO\nParis\tB-X\n")
    data = Conll(min_count=1, batch_size=2, max_characters=3, vectors=str(tmp_path / "vectors.txt"), **files)
    data.setup()
    words = data.spec.vector_words
    place = len(data.spec.vocabularies)
    assert [words[k] for k in data.spec.encode(["Oslo", "Bern", "oslo", "in"])[:, place]] == [
        "Oslo",
        "bern",
        "<unk>",
        "in",
    ]
    assert data.spec.encode(["Oslo"]).shape == (1, place + 1 + 3)
    assert data.spec.network_arguments()["vector_dim"] == 2
    assert torch.equal(data.spec.example_inputs()[0].amax((0, 1)) > 0, torch.ones(place + 4, dtype=torch.bool))
