"""Bad input, through the command line: one line, exit code 2, nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import refused

TRAIN = ("train", "experiment=word_embeddings/python_reference", "data=text/corpus", "threads=1")
VECTORS = {
    "a word with spaces": ("2 3\nof the 1 2 3\nx y z\n", "line 3: found 2 numbers, expected 3"),
    "another dimension": ("2 3\na 1 2 3\nb 1 2 3 4\n", "line 3: found 4 numbers, expected 3"),
    "NaN": ("2 3\na 1 2 3\nb 1 nan 3\n", "word 2, 'b', is not finite"),
    "infinity": ("2 3\na 1 2 3\nb 1 inf 3\n", "word 2, 'b', is not finite"),
    "a wrong first line": ("9 3\na 1 2 3\nb 1 2 3\n", "found 2 vectors, expected 9"),
    "empty": ("", "found 0 vectors, expected at least 1"),
}


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TENFOLD_OUTPUTS", str(tmp_path / "outputs"))


CORPORA = {
    "empty": (b"", "the corpus is empty, expected at least one word"),
    "spaces": (b" \n\n  \n", "the corpus is empty, expected at least one word"),
    "rare words": (b"each word stands here once", "data.min_count: found 5, but the most frequent word occurs 1 times"),
    "binary": (bytes(range(256)) * 50, "expected a text file"),
    "a picture": (b"\x89PNG\r\n\x1a\n\xff\xd8" * 99, "is this a text file?"),
    "half an archive": (b"\x1f\x8b\x08\x00abc", "not a whole gzip file"),
    "short": (b"a b c a b c a b c a b c a b c a b c", "make 1 stretches of 1000, expected 3"),
}


@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_that_cannot_be_trained_on(name: str, tmp_path: Path) -> None:
    content, message = CORPORA[name]
    (tmp_path / "text.txt").write_bytes(content)
    line = refused(*TRAIN, f"data.path={tmp_path / 'text.txt'}")
    assert message in line
    assert not list((tmp_path / "cache").rglob("tokens.bin")) or name == "short"


@pytest.mark.parametrize("recipe", ["python_reference", "python_glove"])
@pytest.mark.parametrize(("val", "test"), [(0, 0.1), (0.1, 0), (0.5, 0.5)])
def test_fractions_that_leave_nothing_to_measure_or_to_train_on(recipe: str, val: float, test: float) -> None:
    chosen = (f"experiment=word_embeddings/{recipe}", f"data.val_fraction={val}", f"data.test_fraction={test}")
    assert f"found {val}, {test}, expected both above 0 and a sum below 1" in refused("train", *chosen)


def test_a_corpus_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("a")
    line = refused(*TRAIN, f"data.path={tmp_path / 'text.txt'}")
    assert "text.txt: no such file or folder; did you mean 'texts.txt'?" in line
    (tmp_path / "folder").mkdir()
    assert "an empty folder" in refused(*TRAIN, f"data.path={tmp_path / 'folder'}")


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    text, message = VECTORS[name]
    (tmp_path / "v.txt").write_text(text)
    chosen = ("experiment=classification/sentiment_cnn", f"data.vectors={tmp_path / 'v.txt'}")
    line = refused("train", *chosen, "threads=1")
    assert message in line
    assert "v.txt" in line


def test_vectors_of_another_dimension_than_the_network(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("2 3\n好 1 2 3\n坏 3 2 1\n")
    chosen = ("experiment=classification/sentiment_cnn", f"data.vectors={tmp_path / 'v.txt'}")
    line = refused("train", *chosen, "threads=1")
    assert "data.vectors: found 3 numbers a token, expected 64 as the network's embedding has" in line
