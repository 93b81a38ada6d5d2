"""Hashes, rows and unknown words as fastText has them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.data.text.subwords import ngram_hashes, subword_rows, unknown_vectors


def fasttext_hash(text: bytes) -> int:
    """Dictionary::hash of fastText: FNV-1a with signed bytes."""
    state = 2166136261
    for byte in text:
        signed = byte - 256 if byte > 127 else byte
        state = ((state ^ (signed & 0xFFFFFFFF)) * 16777619) & 0xFFFFFFFF
    return state


def fasttext_ngrams(word: str, min_n: int, max_n: int) -> list[str]:
    """Dictionary::computeSubwords of fastText."""
    marked, grams = f"<{word}>", []
    for begin in range(len(marked)):
        for size in range(1, max_n + 1):
            end = begin + size
            if end <= len(marked) and size >= min_n and not (size == 1 and (begin == 0 or end == len(marked))):
                grams.append(marked[begin:end])
    return grams


@settings(max_examples=60, deadline=None)
@given(
    words=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), min_size=1, max_size=6),
    sizes=st.sampled_from([(3, 6), (1, 1), (2, 4), (1, 5)]),
)
def test_hashes_equal_fasttexts(words: list[str], sizes: tuple[int, int]) -> None:
    hashes, owner = ngram_hashes(words, *sizes)
    expected = [
        (fasttext_hash(gram.encode()), place)
        for place, word in enumerate(words)
        for gram in fasttext_ngrams(word, *sizes)
    ]
    assert list(zip(hashes.tolist(), owner.tolist(), strict=True)) == expected


def test_hashes_equal_gensims() -> None:
    gensim = pytest.importorskip("gensim.models.fasttext_inner")
    words = ["Zürich", "中共中央", "embedding", "a"]
    hashes, owner = ngram_hashes(words, 3, 6)
    for place, word in enumerate(words):
        expected = [gensim.ft_hash_bytes(gram) for gram in gensim.compute_ngrams_bytes(word, 3, 6)]
        assert sorted(hashes[owner == place].tolist()) == sorted(expected)


def test_rows_begin_with_the_word_itself() -> None:
    rows, offsets = subword_rows(["cat", "a", "dog"], buckets=50)
    assert offsets.tolist() == [0, 1 + 6, 1 + 6 + 1 + 1, 1 + 6 + 2 + 1 + 6]
    assert [rows[offset].item() for offset in offsets[:-1].tolist()] == [0, 1, 2]
    assert ((rows >= 3) == (rows >= 3) & (rows < 53)).all()


def test_an_unknown_word_is_the_mean_of_its_ngrams() -> None:
    buckets = torch.randn(40, 3)
    grams = fasttext_ngrams("house", 3, 6)
    expected = torch.stack([buckets[fasttext_hash(gram.encode()) % 40] for gram in grams]).mean(0)
    torch.testing.assert_close(unknown_vectors(["house", ""], buckets, 3, 6), torch.stack([expected, torch.zeros(3)]))
