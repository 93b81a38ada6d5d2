"""Column files of the CoNLL shared tasks: a token a line, a blank line between sentences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tenfold.data.files import read_bytes
from tenfold.errors import UserError, nearest

DOCUMENT = "-DOCSTART-"


def read_conll(path: Path, ragged: bool = False) -> Iterator[list[list[str]]]:
    """The sentences of a file, each a list of rows, one a token, with the same number of columns throughout.

    Columns are apart by tabs where the first row has one, else by white space. `-DOCSTART-` rows are left out. With
    `ragged`, only the rows of one sentence have as many columns, and `#begin document` and `#end document` are left
    out. Raises `UserError`, with the line, where that is not UTF-8 or has another number of columns than the first one.
    """
    sentence: list[list[str]] = []
    separator, columns = None, 0
    for number, text in numbered_lines(path):
        if not text.strip(" \t"):
            yield from [sentence] if sentence else []
            sentence, columns = [], 0 if ragged else columns
            continue
        if ragged and text.startswith(("#begin document", "#end document")):
            continue
        if not columns:
            separator = "\t" if "\t" in text else None
            columns = len(text.split(separator))
        row = text.split(separator)
        if len(row) != columns:
            raise UserError(f"{path} line {number}: found {len(row)} columns, expected {columns} as in the first row")
        if row[0] != DOCUMENT:
            sentence.append(row)
    if sentence:
        yield sentence


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Each line, blank ones too, with its number from 1."""
    for number, line in enumerate(_content(path).split(b"\n"), start=1):
        yield number, _decoded(line, path, number).rstrip("\r")


def _content(path: Path) -> bytes:
    if path.is_dir():
        raise UserError(f"{path}: found a folder, expected a text file")
    if not path.exists():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f"{path}: no such file{nearest(path.name, siblings)}")
    return read_bytes(path).removeprefix(b"\xef\xbb\xbf")


def _decoded(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        byte = f"byte {error.start + 1} ({line[error.start]:#04x})"
        raise UserError(f"{path} line {number}: {byte} is not UTF-8, save the file as UTF-8") from None
