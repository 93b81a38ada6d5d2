"""Pickles of arrays, read without running what a file might hold."""

from __future__ import annotations

import io
import pickle
from collections import defaultdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tenfold.data.files import read_bytes
from tenfold.errors import UserError


class Rows:
    """A sparse matrix by rows, as scipy pickles one: it holds what the file says, and has no code to run on it."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    _shape: tuple[int, int]

    def dense(self) -> np.ndarray:
        """float32 `[rows, columns]`. Raises `ValueError` where an index lies outside."""
        rows, columns = (int(size) for size in self._shape)
        data, indices, indptr = (np.asarray(part) for part in (self.data, self.indices, self.indptr))
        counts: np.ndarray = np.diff(indptr.astype(np.int64))
        sound = len(indptr) == rows + 1 and indptr[0] == 0 and (counts >= 0).all() and counts.sum() == len(data)
        if not sound or len(indices) != len(data) or ((indices < 0) | (indices >= columns)).any():
            raise ValueError("a sparse matrix whose parts do not fit each other")
        matrix = np.zeros((rows, columns), dtype=np.float32)
        np.add.at(matrix, (np.repeat(np.arange(rows), counts), indices.astype(np.int64)), data.astype(np.float32))
        return matrix


def _new(cls: type, base: type, state: Any) -> Any:
    """In place of Python 2's way to make an object: an empty matrix, which its state then fills."""
    if cls is not Rows:
        raise pickle.UnpicklingError(f"it makes a {cls.__name__}")
    return Rows()


class _Plain(pickle.Unpickler):
    """Builds arrays, sparse matrices and dicts of lists, and nothing else."""

    allowed: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("scipy.sparse.csr", "csr_matrix"): Rows,
        ("scipy.sparse._csr", "csr_matrix"): Rows,
        ("collections", "defaultdict"): defaultdict,
        ("__builtin__", "list"): list,
        ("builtins", "list"): list,
        ("__builtin__", "object"): object,
        ("copy_reg", "_reconstructor"): _new,
    }

    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return self.allowed[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}") from None


_DAMAGE = (
    EOFError,
    ValueError,
    IndexError,
    AttributeError,
    TypeError,
    KeyError,
    MemoryError,
    OverflowError,
    UnicodeDecodeError,
)


def read_plain(path: Path) -> Any:
    """What a pickle holds: arrays, dense ones in place of sparse, and dicts of lists. Raises `UserError` where it holds
    anything else, of which nothing is run."""
    try:
        held = _Plain(io.BytesIO(read_bytes(path)), encoding="latin1").load()
        return held.dense() if isinstance(held, Rows) else held
    except pickle.UnpicklingError as error:
        raise UserError(f"{path}: refused, expected arrays and lists only ({error})") from error
    except _DAMAGE as error:
        raise UserError(f"{path}: damaged, expected a pickle of arrays ({type(error).__name__}: {error})") from error
