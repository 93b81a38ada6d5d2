"""Character n-grams hashed into buckets, bit for bit as fastText does it (Bojanowski et al. 2017, arXiv 1607.04606)."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FNV_START, FNV_PRIME = np.uint32(2166136261), np.uint32(16777619)


def _characters(words: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """UTF-8 bytes of every character of the `<word>`s [characters, 4], how many each has, and each character's word."""
    text = "".join(f"<{word}>" for word in words)
    raw = np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)
    width = 1 + (raw >= 0x80) + (raw >= 0x800) + (raw >= 0x10000)
    flat = np.frombuffer(text.encode("utf-8", errors="surrogatepass"), dtype=np.uint8)
    begin = np.cumsum(width) - width
    slots = np.minimum(begin[:, None] + np.arange(4), len(flat) - 1)
    owner = np.repeat(np.arange(len(words)), [len(word) + 2 for word in words])
    return flat[slots], width.astype(np.int64), owner


def ngram_hashes(words: Sequence[str], min_n: int, max_n: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """32-bit FNV-1a hashes of the character n-grams of every `<word>`, in fastText's order, and the word that each
    belongs to.

    Bytes above 127 count as negative, as in fastText. A lone `<` or `>` is no n-gram. Hashes of all n-grams that begin
    at one character are got together: that of length n goes on from that of length n - 1.
    """
    if not words or max_n < 1:
        return np.zeros(0, np.uint32), np.zeros(0, np.int64)
    characters, width, owner = _characters(words)
    signed = characters.astype(np.int8).astype(np.int32).astype(np.uint32)
    start = np.arange(len(owner))
    edge = np.concatenate([[True], owner[1:] != owner[:-1]]) | np.concatenate([owner[1:] != owner[:-1], [True]])
    state = np.full(len(owner), FNV_START)
    found: list[tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]] = []
    for n in range(1, max_n + 1):
        alive = start + n - 1 < len(owner)
        alive[alive] = owner[start[alive] + n - 1] == owner[start[alive]]
        start, state = start[alive], state[alive]
        last = start + n - 1
        for slot in range(4):
            longer = width[last] > slot
            state[longer] = (state[longer] ^ signed[last[longer], slot]) * FNV_PRIME
        if n >= min_n:
            real = ~edge[start] if n == 1 else np.ones(len(start), bool)
            found.append((state[real], start[real], np.full(real.sum(), n)))
    hashes, starts, sizes = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.lexsort((sizes, starts))
    return hashes[order], owner[starts[order]]


def word_hashes(words: Sequence[str]) -> NDArray[np.uint32]:
    """32-bit FNV-1a hash of each whole word, bytes above 127 counting as negative."""
    encoded = [word.encode(errors="surrogatepass") for word in words]
    sizes = np.array([len(word) for word in encoded], np.int64)
    flat = np.frombuffer(b"".join(encoded), np.int8).astype(np.int32).astype(np.uint32)
    begin, state = np.cumsum(sizes) - sizes, np.full(len(encoded), FNV_START)
    for place in range(int(sizes.max(initial=0))):
        longer = sizes > place
        state[longer] = (state[longer] ^ flat[begin[longer] + place]) * FNV_PRIME
    return state


def subword_rows(words: Sequence[str], buckets: int, min_n: int = 3, max_n: int = 6) -> tuple[Tensor, Tensor]:
    """Rows of `SubwordTable` for every word: its own (its place in `words`), then `len(words) + hash % buckets` of its
    n-grams.

    Returns the rows one word after the other [entries] and where each word begins [words + 1].
    """
    hashes, owner = ngram_hashes(words, min_n, max_n) if buckets else (np.zeros(0, np.uint32), np.zeros(0, np.int64))
    rows = np.concatenate([np.arange(len(words)), len(words) + (hashes % np.uint32(max(buckets, 1))).astype(np.int64)])
    owners = np.concatenate([np.arange(len(words)), owner])
    order = np.argsort(owners, kind="stable")
    offsets = np.searchsorted(owners[order], np.arange(len(words) + 1))
    return torch.from_numpy(rows[order]), torch.from_numpy(offsets)


def unknown_vectors(words: Sequence[str], buckets: Tensor, min_n: int, max_n: int) -> Tensor:
    """Vectors of words out of the vocabulary: the mean of their n-grams' `buckets` [buckets, channels]; zero where
    there are none."""
    hashes, owner = ngram_hashes(words, min_n, max_n)
    result = buckets.new_zeros(len(words), buckets.shape[1])
    if len(hashes) and len(buckets):
        rows = torch.from_numpy((hashes % np.uint32(len(buckets))).astype(np.int64))
        owners = torch.from_numpy(owner)
        result.index_add_(0, owners, buckets[rows])
        result /= torch.bincount(owners, minlength=len(words)).clamp(min=1).unsqueeze(1)
    return result
