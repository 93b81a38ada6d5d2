"""Vector files that other programs read and write: word2vec text and binary, GloVe text.

word2vec's begin with a line `words channels`; then every word stands before its numbers, in text or as float32. GloVe's
text has no such line. Files that end in .gz are packed. What is written here equals gensim's output byte for byte.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.data.text.vectors import WordVectors
from tenfold.errors import UserError

Format = Literal["word2vec", "word2vec_binary", "glove"]


def _open(path: Path, mode: str) -> IO[Any]:
    try:
        return gzip.open(path, mode) if path.suffix == ".gz" else path.open(mode)  # type: ignore[return-value]
    except OSError as error:
        raise UserError(f"{path}: cannot be opened ({error.strerror})") from error


def save_vectors(vectors: WordVectors, path: Path, format: Format = "word2vec") -> None:
    """Write all vectors. Raises `UserError` where a word has white space in it: no reader could tell where its numbers
    begin."""
    for word in vectors.words:
        if not word or any(sign.isspace() for sign in word):
            raise UserError(f"{path}: word {word!r} is empty or has white space, which the format {format} cannot hold")
    matrix = vectors.matrix.detach().float().cpu().numpy()
    partial = path.with_name(f".partial-{path.name}")
    with _open(partial, "wb") as file:
        if format != "glove":
            file.write(f"{matrix.shape[0]} {matrix.shape[1]}\n".encode())
        for word, row in zip(vectors.words, matrix, strict=True):
            if format == "word2vec_binary":
                file.write(word.encode() + b" " + row.tobytes())
            else:
                file.write(f"{word} {' '.join(map(str, row))}\n".encode())
    os.replace(partial, path)


def load_vectors(path: Path, format: Format | None = None) -> WordVectors:
    """Read vectors; without `format` it is told from the file's first bytes. Raises `UserError` naming the line or word
    at fault."""
    with _open(path, "rb") as file:
        try:
            first = file.readline()
            more = file.read(4096)
        except (OSError, EOFError) as error:
            raise UserError(f"{path}: not a whole gzip file ({error})") from error
    format = format or _guess(first, more)
    with _open(path, "rb") as file:
        if format == "word2vec_binary":
            return _read_binary(path, file)
        size = _header(path, file.readline()) if format == "word2vec" else None
        return _read_text(path, file, size)


def _guess(first: bytes, more: bytes) -> Format:
    if len(first.split()) != 2:
        return "glove"
    try:
        fields = more.partition(b"\n")[0].decode().split()
        float(fields[-1])
    except (UnicodeDecodeError, ValueError, IndexError):
        return "word2vec_binary"
    return "word2vec"


def _header(path: Path, line: bytes) -> tuple[int, int]:
    try:
        words, channels = map(int, line.split())
    except ValueError:
        found = line[:40].decode(errors="replace").strip()
        raise UserError(f"{path} line 1: found {found!r}, expected the number of words and of channels") from None
    if words < 1 or channels < 1:
        raise UserError(f"{path} line 1: found {words} words of {channels} channels, expected at least 1 of each")
    return words, channels


def _read_binary(path: Path, file: IO[bytes]) -> WordVectors:
    size, channels = _header(path, file.readline())
    content = memoryview(file.read())
    if len(content) < size * (4 * channels + 2):
        raise UserError(
            f"{path}: {len(content)} bytes after line 1 cannot hold {size} words of {channels} channels; truncated?"
        )
    matrix = np.empty((size, channels), np.float32)
    words, at = [], 0
    for row in range(size):
        space = bytes(content[at : at + 2000]).find(b" ")
        begin = at + space + 1
        if space < 0 or begin + 4 * channels > len(content):
            raise UserError(
                f"{path}: ends within word {row + 1} of {size}; truncated, or its line 1 is of another file"
            )
        words.append(_decode(path, bytes(content[at : begin - 1]).lstrip(b"\n"), row))
        matrix[row] = np.frombuffer(content, np.float32, channels, begin)
        at = begin + 4 * channels
    return _checked(path, words, matrix)


def _decode(path: Path, word: bytes, row: int) -> str:
    try:
        return word.decode()
    except UnicodeDecodeError:
        raise UserError(
            f"{path}: word {row + 1} is {word[:20]!r}, expected UTF-8; is this a file of vectors?"
        ) from None


def _read_text(path: Path, file: IO[bytes], size: tuple[int, int] | None) -> WordVectors:
    words: list[str] = []
    rows: list[NDArray[np.float32]] = []
    channels = size[1] if size else 0
    for number, line in _lines(path, file, 2 if size else 1):
        fields = line.rstrip().split(" ")
        channels = channels or len(fields) - 1
        words.append(" ".join(fields[:-channels]))
        rows.append(_numbers(path, number, fields, channels))
    if not rows or (size and len(rows) != size[0]):
        raise UserError(f"{path}: found {len(rows)} vectors, expected {size[0] if size else 'at least 1'}")
    return _checked(path, words, np.stack(rows))


def _lines(path: Path, file: IO[bytes], number: int) -> Iterator[tuple[int, str]]:
    for line in file:
        try:
            yield number, line.decode().rstrip("\n")
        except UnicodeDecodeError:
            raise UserError(f"{path} line {number}: not UTF-8; is this a text file of vectors?") from None
        number += 1


def _numbers(path: Path, number: int, fields: list[str], channels: int) -> NDArray[np.float32]:
    """The last `channels` fields. A word may have spaces (GloVe's have), but what is left of it must not be numbers."""
    if (
        channels < 1
        or len(fields) <= channels
        or (len(fields) > channels + 1 and all(map(_is_number, fields[1:-channels])))
    ):
        raise UserError(
            f"{path} line {number}: found {len(fields) - 1} numbers, expected {max(channels, 1)} as in the first"
        )
    try:
        return np.array(fields[-channels:], dtype=np.float32)
    except ValueError:
        wrong = next(field for field in fields[-channels:] if not _is_number(field))
        raise UserError(
            f"{path} line {number}: {wrong!r} is no number, expected a word and {channels} numbers"
        ) from None


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _checked(path: Path, words: list[str], matrix: NDArray[np.float32]) -> WordVectors:
    wrong = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if len(wrong):
        raise UserError(
            f"{path}: the vector of word {wrong[0] + 1}, {words[wrong[0]]!r}, is not finite (NaN or infinity)"
        )
    if len(set(words)) != len(words):
        seen: set[str] = set()
        twice = next(word for word in words if word in seen or seen.add(word))  # type: ignore[func-returns-value]
        raise UserError(f"{path}: word {twice!r} comes twice, expected each once")
    return WordVectors(tuple(words), torch.from_numpy(matrix))
