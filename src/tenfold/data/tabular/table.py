"""CSV files with a header: read as text, with the line of every row."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tenfold.errors import UserError, nearest

SEPARATORS = (",", ";", "\t", "|")
MISSING = frozenset({"", "?", "na", "n/a", "nan", "null", "none"})


@dataclass(frozen=True)
class Table:
    """The rows of a file, text in every cell.

    source: the file's name, for messages.
    lines: the line of the file at which each row ends, counting from 1.
    """

    source: str
    columns: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]

    def column(self, name: str) -> list[str]:
        """The cells of a column, without surrounding blanks. Raises `UserError` where there is no such column."""
        if name not in self.columns:
            hint = nearest(name, self.columns) or f"; the header has {', '.join(self.columns)}"
            raise UserError(f"{self.source}: no column {name!r}{hint}")
        index = self.columns.index(name)
        return [row[index].strip() for row in self.rows]


def read_table(source: str, separator: str | None = None) -> Table:
    """Read a CSV file, or stdin for `-`, in UTF-8.

    `separator` None takes the one of comma, semicolon, tab and bar that splits the header into most columns. Raises
    `UserError` on a file without header or rows, or with a row that is longer or shorter than the header.
    """
    name = "stdin" if source == "-" else source
    text = _read_text(source, name)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator or _separator(text), skipinitialspace=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        header = tuple(cell.strip() for cell in next(reader, []))
        _check_header(header, name)
        for row in reader:
            if not row:  # a blank line
                continue
            if len(row) != len(header):
                raise UserError(f"{name}, line {reader.line_num}: found {len(row)} cells, expected {len(header)}")
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise UserError(f"{name}, line {reader.line_num}: not a table of separated values ({error})") from error
    if not rows:
        raise UserError(f"{name}: found a header and no rows, expected one at least")
    return Table(name, header, rows, lines)


def is_missing(cell: str) -> bool:
    return cell.lower() in MISSING


def is_number(cell: str) -> bool:
    try:
        number_of(cell)
    except ValueError:
        return False
    return True


def number_of(cell: str) -> float:
    """Raises `ValueError` on what is no number; 1_000, which Python reads as one, is a name."""
    if "_" in cell:
        raise ValueError(cell)
    return float(cell)


def _read_text(source: str, name: str) -> str:
    try:
        if source == "-":
            return sys.stdin.read().removeprefix("\ufeff")  # the byte order mark of many spreadsheets
        with open(source, encoding="utf-8-sig", newline="") as file:
            return file.read()
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror}), expected a CSV file") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: not text in UTF-8 (byte {error.start}), expected a CSV file") from error


def _separator(text: str) -> str:
    line = text.split("\n", 1)[0]
    return max(SEPARATORS, key=lambda separator: len(next(csv.reader([line], delimiter=separator), [])))


def _check_header(header: Sequence[str], name: str) -> None:
    if not any(header):
        raise UserError(f"{name}: empty, expected a line with the names of the columns")
    if all(is_number(cell) for cell in header):
        raise UserError(f"{name}: the first line holds numbers only, expected the names of the columns")
    for column in header:
        if header.count(column) > 1:
            raise UserError(f"{name}: the header names column {column!r} twice, expected different names")
