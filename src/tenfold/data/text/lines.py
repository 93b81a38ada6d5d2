"""Lines of text files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tenfold.errors import UserError, nearest

BOM = b"\xef\xbb\xbf"  # the byte order mark that some programs begin UTF-8 with


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Each line that is not blank, with its number from 1; UTF-8, with or without a byte order mark.

    Raises `UserError` where the file is missing, cannot be read, or is not UTF-8 (with the number of the line).
    """
    content = _read_bytes(path).removeprefix(BOM)
    for number, line in enumerate(content.split(b"\n"), start=1):
        text = _decode(line, f"{path} line {number}").strip()
        if text:
            yield number, text


def lines_of(source: str) -> Iterator[str]:
    """The lines that are not blank of a text file, or for `-` of standard input, read as it comes."""
    if source != "-":
        yield from (text for _, text in read_lines(Path(source)))
        return
    for number, line in enumerate(sys.stdin.buffer, start=1):
        text = _decode(line.removeprefix(BOM) if number == 1 else line, f"standard input line {number}").strip()
        if text:
            yield text


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise UserError(f"{path}: found a folder, expected a text file")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f"{path}: no such file{nearest(path.name, siblings)}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _decode(line: bytes, where: str) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        byte = f"byte {error.start + 1} ({line[error.start]:#04x})"
        raise UserError(f"{where}: {byte} is not UTF-8, save the file as UTF-8") from None
