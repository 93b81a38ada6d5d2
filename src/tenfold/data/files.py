"""Files: those that installed packages ship, gzipped ones, tables of integers."""

from __future__ import annotations

import gzip
import importlib.util
import warnings
import zlib
from pathlib import Path

import numpy as np

from tenfold.errors import UserError


def package_file(package: str, *parts: str) -> Path:
    """A file inside an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"data: package {package!r}, which carries the data, is not installed; pip install {package}")
    path = Path(spec.submodule_search_locations[0], *parts)
    if not path.is_file():
        raise UserError(f"{path}: no such file, expected it in package {package!r}; reinstall the package")
    return path


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked where its name ends in `.gz`; `UserError` where it is absent or damaged."""
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: not a whole gzip file ({error}); fetch it again") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def integer_table(path: Path) -> np.ndarray:
    """A comma-separated table of small integers, `[rows, columns]` of int16: much faster than a general parser."""
    text = read_bytes(path).strip()
    rows, columns = text.count(b"\n") + 1, text.partition(b"\n")[0].count(b",") + 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # how older numpy tells of what is no number
        try:
            return np.fromstring(text.replace(b"\n", b","), dtype=np.int16, sep=",").reshape(rows, columns)
        except (ValueError, DeprecationWarning) as error:
            raise UserError(f"{path}: expected lines of comma-separated integers, all of one length") from error
