"""FastText's own .bin format, version 12, read and written byte for byte (fastText's `FastText::saveModel`)."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from tenfold.data.text.subwords import subword_rows
from tenfold.data.text.vectors import Subwords, WordVectors
from tenfold.errors import UserError
from tenfold.topics.word_embeddings.networks import SubwordEmbedding

if TYPE_CHECKING:
    from tenfold.topics.word_embeddings.module import Word2Vec

MAGIC, VERSION = 793712314, 12
_ARGUMENTS = struct.Struct("<12id")


@dataclass(frozen=True)
class Arguments:
    """Settings in the order of the file. `loss` is 1 hierarchical softmax, 2 negative sampling, 3 softmax; `model` 1
    CBOW, 2 skip-gram, 3 supervised."""

    dim: int
    window: int = 5
    epochs: int = 5
    min_count: int = 5
    negatives: int = 5
    word_ngrams: int = 1
    loss: int = 2
    model: int = 2
    buckets: int = 2_000_000
    min_n: int = 3
    max_n: int = 6
    update_rate: int = 100
    threshold: float = 1e-4


@dataclass(frozen=True)
class FastTextFile:
    """Contents of a .bin file: `input` [words + buckets, dim], `output` [words or labels, dim], float32."""

    arguments: Arguments
    words: tuple[str, ...]
    counts: NDArray[np.int64]
    num_tokens: int
    input: NDArray[np.float32]
    output: NDArray[np.float32]
    labels: tuple[str, ...] = ()
    label_counts: NDArray[np.int64] | None = None
    version: int = VERSION

    def vectors(self) -> WordVectors:
        """The vector of each word, the mean of its rows, with the buckets for words not seen."""
        rows, offsets = subword_rows(self.words, self.arguments.buckets, self.arguments.min_n, self.arguments.max_n)
        table = torch.from_numpy(self.input)
        matrix = torch.nn.functional.embedding_bag(rows, table, offsets[:-1], mode="mean")
        parts = Subwords(table[len(self.words) :], self.arguments.min_n, self.arguments.max_n)
        known = parts if self.arguments.buckets and self.arguments.max_n > 0 else None
        return WordVectors(self.words, matrix, torch.from_numpy(self.counts), known)


def fasttext_file(module: Word2Vec) -> FastTextFile:
    """A FastText that Tenfold has trained, as `save_fasttext` and fastText take it."""
    network, shape = module.network, module.shape
    spec: Any = module.spec
    if not isinstance(network, SubwordEmbedding) or module.tree is not None:
        raise UserError("fasttext_file: found another model, expected a FastText trained by negative sampling")
    arguments = Arguments(
        network.outputs.shape[1],
        window=shape.window,
        negatives=shape.negatives,
        model=1 if module.cbow else 2,
        buckets=network.buckets,
        min_n=network.min_n,
        max_n=network.max_n,
    )
    counts = module.counts.cpu().numpy()
    inputs, outputs = (table.detach().float().cpu().numpy() for table in (network.inputs.weight, network.outputs))
    return FastTextFile(arguments, spec.words, counts, int(counts.sum()), inputs, outputs)


def save_fasttext(model: FastTextFile, path: Path) -> None:
    """Write a .bin file, whole or not at all."""
    partial = path.with_name(f".partial-{path.name}")
    with partial.open("wb") as file:
        file.write(struct.pack("<2i", MAGIC, model.version))
        file.write(_ARGUMENTS.pack(*vars(model.arguments).values()))
        size, labels = len(model.words), len(model.labels)
        file.write(struct.pack("<3i2q", size + labels, size, labels, model.num_tokens, -1))
        label_counts = model.label_counts if model.label_counts is not None else np.zeros(labels, np.int64)
        for kind, names, counts in ((0, model.words, model.counts), (1, model.labels, label_counts)):
            for name, count in zip(names, counts.tolist(), strict=True):
                file.write(name.encode(errors="surrogateescape") + b"\0" + struct.pack("<qb", count, kind))
        for matrix in (model.input, model.output):
            file.write(struct.pack("<?2q", False, *matrix.shape))
            file.write(np.ascontiguousarray(matrix, np.float32).tobytes())
    os.replace(partial, path)


def load_fasttext(path: Path) -> FastTextFile:
    """Read a .bin file. Raises `UserError` on another format, a quantised or a truncated file."""
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except OSError as error:
        raise UserError(f"{path}: cannot be opened ({error.strerror})") from error
    except struct.error:
        raise UserError(f"{path}: ends too early; truncated?") from None


def _take(file: IO[bytes], layout: str) -> tuple[int, ...]:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _read(path: Path, file: IO[bytes]) -> FastTextFile:
    magic, version = _take(file, "<2i")
    if magic != MAGIC or version not in (11, VERSION):
        raise UserError(f"{path}: not a FastText .bin file of version {VERSION} (magic {magic}, version {version})")
    arguments = Arguments(*_ARGUMENTS.unpack(file.read(_ARGUMENTS.size)))
    size, num_words, num_labels, num_tokens, pruned = _take(file, "<3i2q")
    if size != num_words + num_labels or pruned > 0:
        raise UserError(
            f"{path}: {size} entries, {num_words} words, {num_labels} labels, {pruned} pruned: expected none pruned"
        )
    names, counts = _entries(path, file, size)
    matrices = [_matrix(path, file) for _ in range(2)]
    if matrices[0].shape != (num_words + arguments.buckets, arguments.dim):
        raise UserError(
            f"{path}: vectors of shape {matrices[0].shape}, expected {(num_words + arguments.buckets, arguments.dim)}"
        )
    return FastTextFile(
        arguments,
        names[:num_words],
        counts[:num_words],
        num_tokens,
        matrices[0],
        matrices[1],
        names[num_words:],
        counts[num_words:],
        version,
    )


def _entries(path: Path, file: IO[bytes], size: int) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    names, counts = [], np.empty(size, np.int64)
    for entry in range(size):
        name = bytearray()
        while (byte := file.read(1)) != b"\0":
            if not byte:
                raise UserError(f"{path}: ends within word {entry + 1} of {size}; truncated?")
            name += byte
        counts[entry] = _take(file, "<qb")[0]
        names.append(name.decode(errors="surrogateescape"))
    return tuple(names), counts


def _matrix(path: Path, file: IO[bytes]) -> NDArray[np.float32]:
    quantised, rows, columns = _take(file, "<?2q")
    if quantised:
        raise UserError(f"{path}: a quantised model (.ftz), expected a full one (.bin)")
    matrix = np.fromfile(file, np.float32, rows * columns)
    if len(matrix) != rows * columns:
        raise UserError(f"{path}: ends within a matrix of {rows} × {columns}; truncated?")
    if not np.isfinite(matrix).all():
        raise UserError(f"{path}: holds vectors that are not finite (NaN or infinity)")
    return matrix.reshape(rows, columns)
