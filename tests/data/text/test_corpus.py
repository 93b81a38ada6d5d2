"""Corpora: one pass, any size, plain or gzipped, kept with checksums."""

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.data.text import corpus
from tenfold.data.text.corpus import SENTENCE_END, build_corpus, cached_corpus, find_texts, load_corpus, text_lines
from tenfold.errors import UserError


@settings(max_examples=30, deadline=None)
@given(
    sentences=st.lists(
        st.lists(st.sampled_from(["a", "bb", "c", "d", "中", "é"]), max_size=8), min_size=1, max_size=12
    ),
    min_count=st.integers(1, 3),
    batch=st.sampled_from([1, 5, 1000]),
)
def test_a_corpus_is_its_text(
    tmp_path_factory: pytest.TempPathFactory, sentences: list[list[str]], min_count: int, batch: int
) -> None:
    counts = Counter(word for sentence in sentences for word in sentence)
    kept = {word for word, count in counts.items() if count >= min_count}
    folder = tmp_path_factory.mktemp("c") / "corpus"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "_BATCH", batch)
        if not kept:
            with pytest.raises(UserError, match=r"empty|min_count"):
                build_corpus(sentences, folder, min_count)
            assert not folder.exists()
            return
        found = build_corpus(sentences, folder, min_count)
    assert dict(zip(found.words, found.counts.tolist(), strict=True)) == {word: counts[word] for word in kept}
    assert (np.diff(found.counts) <= 0).all()
    text: list[list[str]] = [[]]
    for token in found.tokens.tolist():
        if token == SENTENCE_END:
            text.append([])
        else:
            text[-1].append(found.words[token])
    assert text[:-1] == [[word for word in sentence if word in kept] for sentence in sentences]


def test_a_full_table_forgets_rare_words_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "_BATCH", 50)
    sentences = [["often", f"once{number}", "often", "common"] for number in range(500)]
    found = build_corpus(sentences, tmp_path / "c", min_count=2, max_words=60)
    assert found.words == ("often", "common")
    assert found.counts.tolist() == [1000, 500]


def test_the_cache_is_used_until_the_text_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    path, passes = tmp_path / "t.txt", []

    def sentences():
        passes.append(1)
        return (line.split() for line in text_lines(path))

    path.write_text("a a b\nb a\n")
    first = cached_corpus("spaces", [path], sentences, min_count=2)
    again = cached_corpus("spaces", [path], sentences, min_count=2)
    assert len(passes) == 1
    assert first.words == again.words == ("a", "b")
    cached_corpus("spaces", [path], sentences, min_count=1)
    path.write_text("a a b c\n")
    assert cached_corpus("spaces", [path], sentences, min_count=1).words == ("a", "b", "c")
    assert len(passes) == 3


def test_a_damaged_cache_is_told(tmp_path: Path) -> None:
    build_corpus([["a"] * 9], tmp_path / "c", 1)
    content = (tmp_path / "c" / "tokens.bin").read_bytes()
    (tmp_path / "c" / "tokens.bin").write_bytes(content[:-4])
    with pytest.raises(UserError, match=r"tokens.bin: does not have its checksum"):
        load_corpus(tmp_path / "c")


def test_folders_hold_plain_and_gzipped_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbfone two\nthree\n")
    (tmp_path / "sub" / "a.gz").write_bytes(gzip.compress("vier fünf\n".encode()))
    (tmp_path / ".hidden").write_text("no")
    lines = [line.strip() for path in find_texts(tmp_path) for line in text_lines(path)]
    assert lines == ["one two", "three", "vier fünf"]


def test_a_line_of_any_length_comes_in_pieces_cut_at_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "_LINE", 16)
    words = [f"wörd{number}" for number in range(60)]
    (tmp_path / "t.txt").write_text(" ".join(words) + "\nend\n", encoding="utf-8")
    pieces = list(text_lines(tmp_path / "t.txt"))
    assert max(map(len, pieces)) < 40
    assert [word for piece in pieces for word in piece.split()] == [*words, "end"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text\nbinary\0\n", "line 2: has a zero byte"),
        (b"text\n\xff\xfe\n", "line 2: byte 1 is not UTF-8"),
        (gzip.compress(b"text " * 999)[:-9], "not a whole gzip file"),
    ],
    ids=["zero byte", "not UTF-8", "cut off"],
)
def test_a_file_that_is_no_text_is_told(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(text_lines(tmp_path / "t"))


def test_missing_and_empty_sources_are_told(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("a")
    with pytest.raises(UserError, match=r"did you mean 'corpus.txt'"):
        find_texts(tmp_path / "corpsu.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="an empty folder"):
        find_texts(tmp_path / "empty")
    with pytest.raises(UserError, match="corpus is empty"):
        build_corpus([[]], tmp_path / "c", 1)
    with pytest.raises(UserError, match=r"data.min_count: found 5"):
        build_corpus([["a", "a"]], tmp_path / "c", 5)
