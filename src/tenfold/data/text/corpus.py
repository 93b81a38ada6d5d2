"""Running text of any size, streamed once into a vocabulary and a compact file of tokens that is mapped into memory."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from tenfold.errors import UserError, nearest

SENTENCE_END = -1
_BATCH = 200_000  # tokens that are held before they are written
_LINE = 1 << 20  # bytes of a line that are read at once
_VERSION = 1

Sentences = Callable[[], Iterator[list[str]]]


@dataclass(frozen=True)
class Corpus:
    """Words from the most frequent down, their counts, and all text as word indices with `SENTENCE_END` after each
    sentence.

    `tokens` is mapped from its file, read only: it takes no memory that cannot be given back. Words below the
    vocabulary's minimum count are left out of it.
    """

    words: tuple[str, ...]
    counts: NDArray[np.int64]
    tokens: NDArray[np.int32]


def find_texts(path: Path) -> list[Path]:
    """The file itself, or every file in a folder (hidden ones apart), in order of their names."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f"{path}: no such file or folder{nearest(path.name, siblings)}")
    files = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    if not files:
        raise UserError(f"{path}: an empty folder, expected text files, plain or gzipped")
    return files


def text_lines(path: Path) -> Iterator[str]:
    """Lines of a file, unpacked where it is gzipped; a very long line comes in pieces of about a MB, cut at spaces.

    Raises `UserError` on a binary file, naming the line.
    """
    number = 0
    try:
        with path.open("rb") as probe:
            packed = probe.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if packed else path.open("rb") as file:
            for number, line in _pieces(file):  # type: ignore[arg-type]
                if b"\0" in line:
                    raise UserError(
                        f"{path} line {number}: has a zero byte, expected a text file (UTF-8), plain or gzipped"
                    )
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} line {number}: byte {error.start + 1} is not UTF-8; is this a text file?") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: not a whole gzip file ({error})") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _pieces(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    number, rest = 1, b""
    while piece := file.readline(_LINE):
        line, rest = rest + piece, b""
        if not piece.endswith(b"\n") and len(piece) == _LINE:
            cut = max(line.rfind(b" "), 0) or _last_character(line)
            line, rest = line[:cut], line[cut:]
        yield number, line
        number += piece.endswith(b"\n")
    if rest:
        yield number, rest


def _last_character(line: bytes) -> int:
    """Where the last character of UTF-8 text begins."""
    return next((at for at in range(len(line) - 1, 0, -1) if line[at] & 0xC0 != 0x80), len(line))


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Counting(dict[str, int]):
    """Word to a provisional index, in order of appearance; a new word gets the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.next = 0

    def __missing__(self, word: str) -> int:
        self[word] = index = self.next
        self.next += 1
        return index


class _Writer:
    """The single pass: writes provisional indices to `file` and counts them."""

    def __init__(self, file: Path, max_words: int) -> None:
        self.file, self.max_words = file.open("wb"), max_words
        self.index, self.counts = _Counting(), np.zeros(1024, np.int64)
        self.pruned_below = 0

    def write(self, sentences: Iterable[list[str]]) -> None:
        pending: list[int] = []
        for words in sentences:
            pending += map(self.index.__getitem__, words)
            pending.append(SENTENCE_END)
            if len(pending) >= _BATCH:
                self._flush(pending)
                pending = []
        self._flush(pending)
        self.file.close()

    def _flush(self, pending: list[int]) -> None:
        tokens = np.array(pending, np.int32)
        tokens.tofile(self.file)
        found = np.bincount(tokens[tokens >= 0], minlength=self.index.next)
        if len(found) > len(self.counts):
            self.counts = np.concatenate([self.counts, np.zeros(2 * len(found) - len(self.counts), np.int64)])
        self.counts[: len(found)] += found
        while len(self.index) > self.max_words:
            self._prune()

    def _prune(self) -> None:
        """Forget words seen too seldom so far, as word2vec does when its table is full; should they come again they
        start from 0."""
        self.pruned_below += 1
        for word in [word for word, index in self.index.items() if self.counts[index] <= self.pruned_below]:
            del self.index[word]


def build_corpus(
    sentences: Iterable[list[str]], folder: Path, min_count: int = 5, max_words: int = 5_000_000
) -> Corpus:
    """Count and encode `sentences` in one pass, and write the result to `folder`, whole or not at all.

    Memory: about 120 bytes for each of at most `max_words` distinct words, and a few MB; the text itself is never held.
    Raises `UserError` where there is no text, or no word occurs `min_count` times.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".corpus-") as name:
        partial = Path(name) / "corpus"
        partial.mkdir()
        raw = Path(name) / "raw.bin"
        writer = _Writer(raw, max_words)
        writer.write(sentences)
        words, counts, final = _vocabulary(writer, min_count)
        _remap(raw, partial / "tokens.bin", final)
        lines = (f"{word}\t{count}\n" for word, count in zip(words, counts.tolist(), strict=True))
        (partial / "vocabulary.tsv").write_text("".join(lines), encoding="utf-8")
        sums = {file: checksum(partial / file) for file in ("tokens.bin", "vocabulary.tsv")}
        (partial / "checksums.json").write_text(json.dumps(sums))
        try:
            os.replace(partial, folder)
        except OSError:  # another process has built the same corpus meanwhile
            if not folder.exists():
                raise
    return load_corpus(folder)


def _vocabulary(writer: _Writer, min_count: int) -> tuple[list[str], NDArray[np.int64], NDArray[np.int32]]:
    """Words by falling count (ties in order of appearance), their counts, and each provisional index's final one or
    -2."""
    if not writer.index:
        raise UserError("data: the corpus is empty, expected at least one word")
    names, places = list(writer.index), np.fromiter(writer.index.values(), np.int64, len(writer.index))
    counts = writer.counts[places]
    order = np.argsort(-counts, kind="stable")[: int((counts >= min_count).sum())]
    if not len(order):
        raise UserError(
            f"data.min_count: found {min_count}, but the most frequent word occurs {counts.max()} times; expected less"
        )
    final = np.full(writer.index.next + 1, -2, np.int32)
    final[places[order]] = np.arange(len(order))
    final[SENTENCE_END] = SENTENCE_END
    return [names[place] for place in order.tolist()], counts[order], final


def _remap(raw: Path, path: Path, final: NDArray[np.int32]) -> None:
    with raw.open("rb") as source, path.open("wb") as file:
        while len(tokens := np.fromfile(source, np.int32, 4_000_000)):
            part = final[tokens]
            part[part > -2].tofile(file)


def load_corpus(folder: Path) -> Corpus:
    """A corpus that `build_corpus` wrote; raises `UserError` where a file does not have its checksum."""
    for name, digest in json.loads((folder / "checksums.json").read_text()).items():
        if not (folder / name).is_file() or checksum(folder / name) != digest:
            raise UserError(
                f"{folder / name}: does not have its checksum; delete the folder and the corpus is built again"
            )
    with (folder / "vocabulary.tsv").open(encoding="utf-8", newline="\n") as file:
        pairs = [line.rstrip("\n").rsplit("\t", 1) for line in file]
    counts = np.array([int(count) for _, count in pairs])
    return Corpus(tuple(word for word, _ in pairs), counts, np.memmap(folder / "tokens.bin", np.int32, mode="r"))


def cache_folder() -> Path:
    """Where corpora are kept: `$TENFOLD_CACHE`, or `tenfold` in the user's cache folder."""
    base = os.environ.get("TENFOLD_CACHE")
    return Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tenfold"


@dataclass(frozen=True)
class Recipe:
    """What a cached corpus depends on: how text is cut, and the files themselves."""

    source: str
    min_count: int
    max_words: int
    sums: tuple[str, ...]
    version: int = _VERSION


def cached_corpus(
    source: str, files: Sequence[Path], sentences: Sentences, min_count: int = 5, max_words: int = 5_000_000
) -> Corpus:
    """The corpus of `sentences()`, built once and kept under the checksums of its `files` and `source` (how they are
    read)."""
    recipe = Recipe(source, min_count, max_words, tuple(checksum(file) for file in files))
    key = hashlib.sha256(json.dumps(asdict(recipe)).encode()).hexdigest()[:24]
    folder = cache_folder() / "corpora" / key
    if (folder / "checksums.json").is_file():
        return load_corpus(folder)
    return build_corpus(sentences(), folder, min_count, max_words)
