"""Vector files: byte for byte what gensim writes, and what gensim wrote opens here."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from tenfold.data.files import package_file
from tenfold.data.text.subwords import unknown_vectors
from tenfold.data.text.vector_files import Format, load_vectors, save_vectors
from tenfold.data.text.vectors import WordVectors
from tenfold.errors import UserError
from tenfold.topics.word_embeddings.data import WordSpec
from tenfold.topics.word_embeddings.fasttext_bin import (
    Arguments,
    FastTextFile,
    fasttext_file,
    load_fasttext,
    save_fasttext,
)
from tenfold.topics.word_embeddings.module import Word2Vec
from tenfold.topics.word_embeddings.networks import SubwordEmbedding, WordEmbedding

WORDS = ("the", "Zürich", "中共中央", "don't", "１２月")


@pytest.fixture
def vectors() -> WordVectors:
    matrix = torch.randn(5, 7, generator=torch.Generator().manual_seed(1))
    matrix[0, :3] = torch.tensor([1e-7, 3.0, -2.5e12])
    return WordVectors(WORDS, matrix)


@pytest.mark.parametrize("format", ["word2vec", "word2vec_binary", "glove"])
def test_files_equal_gensims_byte_for_byte_and_open_both_ways(
    tmp_path: Path, vectors: WordVectors, format: Format
) -> None:
    keyed = pytest.importorskip("gensim.models").KeyedVectors(7)
    keyed.add_vectors(list(WORDS), vectors.matrix.numpy())
    binary, header = format == "word2vec_binary", format != "glove"
    keyed.save_word2vec_format(str(tmp_path / "theirs"), binary=binary, write_header=header)
    save_vectors(vectors, tmp_path / "ours", format)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    opened = type(keyed).load_word2vec_format(str(tmp_path / "ours"), binary=binary, no_header=not header)
    assert (opened.vectors == vectors.matrix.numpy()).all()
    loaded = load_vectors(tmp_path / "theirs")
    assert loaded.words == WORDS
    assert torch.equal(loaded.matrix, vectors.matrix)


def test_gzipped_files_open(tmp_path: Path, vectors: WordVectors) -> None:
    save_vectors(vectors, tmp_path / "v.txt.gz")
    assert gzip.decompress((tmp_path / "v.txt.gz").read_bytes()).startswith(b"5 7\n")
    assert torch.equal(load_vectors(tmp_path / "v.txt.gz").matrix, vectors.matrix)


def test_words_with_spaces_open_from_glove_but_are_not_written(tmp_path: Path) -> None:
    (tmp_path / "g.txt").write_text("the 0.5 1\n. . . 2 3\n", encoding="utf-8")
    loaded = load_vectors(tmp_path / "g.txt", "glove")
    assert loaded.words == ("the", ". . .")
    assert loaded.matrix.tolist() == [[0.5, 1], [2, 3]]
    with pytest.raises(UserError, match="white space"):
        save_vectors(loaded, tmp_path / "out.txt")
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 3\na 1 2 3\nb 1 2\n", "line 3: found 2 numbers, expected 3"),
        ("2 3\na 1 2 3\nb 1 2 3 4\n", "line 3: found 4 numbers, expected 3"),
        ("2 3\na 1 2 3\nb 1 x 3\n", "line 3: 'x' is no number"),
        ("2 3\na 1 2 3\nb 1 nan 3\n", "word 2, 'b', is not finite"),
        ("2 3\na 1 2 3\na 1 2 3\n", "word 'a' comes twice"),
        ("3 3\na 1 2 3\nb 1 2 3\n", "found 2 vectors, expected 3"),
    ],
)
def test_bad_text_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "v.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        load_vectors(tmp_path / "v.txt", "word2vec")


def test_a_truncated_binary_file_is_told(tmp_path: Path, vectors: WordVectors) -> None:
    save_vectors(vectors, tmp_path / "v.bin", "word2vec_binary")
    (tmp_path / "cut.bin").write_bytes((tmp_path / "v.bin").read_bytes()[:-9])
    with pytest.raises(UserError, match="truncated"):
        load_vectors(tmp_path / "cut.bin", "word2vec_binary")


def gensims(name: str) -> Path:
    pytest.importorskip("gensim")
    return package_file("gensim", "test", "test_data", name)


@pytest.mark.parametrize("name", ["lee_fasttext_new.bin", "crime-and-punishment.bin"])
def test_fasttexts_own_files_come_back_byte_for_byte(tmp_path: Path, name: str) -> None:
    path = gensims(name)
    save_fasttext(load_fasttext(path), tmp_path / "again.bin")
    assert (tmp_path / "again.bin").read_bytes() == path.read_bytes()


def test_vectors_of_known_and_unknown_words_equal_gensims() -> None:
    path = gensims("crime-and-punishment.bin")
    theirs = pytest.importorskip("gensim.models.fasttext").load_facebook_vectors(str(path))
    ours = load_fasttext(path).vectors()
    for word in [*ours.words[:40], "преступлениями", "unseen"]:
        np.testing.assert_allclose(ours.vector(word).numpy(), theirs.get_vector(word), rtol=1e-4, atol=1e-6)


def test_what_we_write_opens_in_gensim(tmp_path: Path) -> None:
    fasttext = pytest.importorskip("gensim.models.fasttext")
    random = np.random.default_rng(0)
    model = FastTextFile(
        Arguments(dim=6, buckets=30),
        WORDS,
        np.array([9, 7, 5, 5, 2]),
        28,
        random.normal(size=(35, 6)).astype(np.float32),
        random.normal(size=(5, 6)).astype(np.float32),
    )
    save_fasttext(model, tmp_path / "m.bin")
    opened = fasttext.load_facebook_model(str(tmp_path / "m.bin"))
    assert opened.wv.index_to_key == list(WORDS)
    assert (opened.syn1neg == model.output).all()
    unknown = unknown_vectors(["unseen"], torch.from_numpy(model.input[5:]), 3, 6)[0]
    np.testing.assert_allclose(opened.wv.get_vector("unseen"), unknown.numpy(), rtol=1e-5)
    np.testing.assert_allclose(opened.wv.get_vector("Zürich"), model.vectors().vector("Zürich").numpy(), rtol=1e-5)


def test_a_trained_fasttext_opens_in_gensim(tmp_path: Path) -> None:
    fasttext = pytest.importorskip("gensim.models.fasttext")
    network = SubwordEmbedding(WORDS, 6, buckets=30, min_n=2, max_n=4)
    module = Word2Vec(WordSpec(words=WORDS, counts=(9, 7, 5, 5, 2), seed=0), network)
    save_fasttext(fasttext_file(module), tmp_path / "m.bin")
    opened, vectors = fasttext.load_facebook_vectors(str(tmp_path / "m.bin")), module.vectors()
    for word in (*WORDS, "unseen"):
        np.testing.assert_allclose(opened.get_vector(word), vectors.vector(word).numpy(), rtol=1e-5, atol=1e-7)
    other = Word2Vec(WordSpec(words=WORDS, counts=(9, 7, 5, 5, 2), seed=0), WordEmbedding(len(WORDS), 6))
    with pytest.raises(UserError, match="expected a FastText"):
        fasttext_file(other)


def test_labels_of_a_supervised_model_come_back(tmp_path: Path) -> None:
    model = FastTextFile(
        Arguments(dim=2, buckets=0, max_n=0, model=3),
        ("good", "bad"),
        np.array([3, 2]),
        5,
        np.ones((2, 2), np.float32),
        np.zeros((2, 2), np.float32),
        ("__label__x", "__label__y"),
        np.array([4, 1]),
    )
    save_fasttext(model, tmp_path / "m.bin")
    again = load_fasttext(tmp_path / "m.bin")
    assert again.labels == model.labels
    assert again.words == model.words
    assert again.label_counts is not None
    assert again.label_counts.tolist() == [4, 1]


@pytest.mark.parametrize("size", [5, 60, -10])
def test_a_damaged_fasttext_file_is_told(tmp_path: Path, size: int) -> None:
    content = gensims("crime-and-punishment.bin").read_bytes()
    (tmp_path / "m.bin").write_bytes(content[:size])
    with pytest.raises(UserError, match=r"truncated|too early"):
        load_fasttext(tmp_path / "m.bin")
    (tmp_path / "m.bin").write_bytes(b"PK" + content)
    with pytest.raises(UserError, match="not a FastText"):
        load_fasttext(tmp_path / "m.bin")
