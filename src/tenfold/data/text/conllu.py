"""Treebanks of Universal Dependencies: CoNLL-U, ten columns a word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tenfold.data.text.conll import numbered_lines
from tenfold.errors import UserError

FIELDS = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
_WORD, _OTHER = re.compile(r"\d+"), re.compile(r"\d+[-.]\d+")  # a word; several written as one, or one not written


def read_conllu(path: Path) -> Iterator[list[list[str]]]:
    """The sentences of a file, each a list of rows with `FIELDS`, one a syntactic word.

    Comments, the lines of words written together (`3-4`, whose parts follow) and of words left out (`5.1`) are skipped.
    Raises `UserError`, with the line, where that is not UTF-8 or not of ten columns.
    """
    sentence: list[list[str]] = []
    for number, text in numbered_lines(path):
        if not text.strip():
            yield from [sentence] if sentence else []
            sentence = []
        elif not text.startswith("#"):
            row = text.split("\t")
            if len(row) != len(FIELDS) or not (_WORD.fullmatch(row[0]) or _OTHER.fullmatch(row[0])):
                raise UserError(
                    f"{path} line {number}: found {len(row)} columns beginning with {row[0][:20]!r}, expected the "
                    f"{len(FIELDS)} of CoNLL-U, apart by tabs, with a number first"
                )
            if _WORD.fullmatch(row[0]):
                sentence.append(row)
    if sentence:
        yield sentence
