"""What a tagger is shown of each token: columns of strings, which vocabularies turn into indices."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from tenfold.errors import UserError, nearest

Unit = Literal["word", "character"]

PAD = ""  # where a word has no further character
_WORD = re.compile(r"\w+(?:[-.'’]\w+)*|[^\w\s]")


def word_columns(tokens: Sequence[str]) -> dict[str, list[str]]:
    """A word as it stands, in lower case, its first and last letters, and its shape."""
    folded = [token.lower() for token in tokens]
    return {
        "word": folded,
        "prefix2": [token[:2] for token in folded],
        "prefix3": [token[:3] for token in folded],
        "suffix2": [token[-2:] for token in folded],
        "suffix3": [token[-3:] for token in folded],
        "shape": [shape(token) for token in tokens],
    }


def character_columns(tokens: Sequence[str]) -> dict[str, list[str]]:
    """A character, the pairs that it makes with its neighbours, and its kind."""
    around = ["<", *tokens, ">"]
    return {
        "character": list(tokens),
        "pair_before": [a + b for a, b in zip(around, tokens, strict=False)],
        "pair_after": [a + b for a, b in zip(tokens, around[2:], strict=False)],
        "shape": [shape(token) for token in tokens],
    }


def shape(token: str) -> str:
    """`Xxx-dd` for `Abc-12`: capitals, small letters, digits, runs cut to two; other signs and scripts as they are."""
    kinds = "".join(_kind(letter) for letter in token[:16])
    return re.sub(r"(.)\1{2,}", r"\1\1", kinds)


def _kind(letter: str) -> str:
    if letter.isdigit() or letter in "〇一二三四五六七八九十百千万亿":
        return "d"
    if letter.isupper():
        return "X"
    if letter.islower():
        return "x"
    return "c" if letter.isalpha() else letter


def split_words(text: str) -> list[str]:
    """Words and signs of a raw line; where the line holds spaced tokens only, they stay as they are but for signs."""
    return _WORD.findall(text)


def split_characters(text: str) -> list[str]:
    """Every character but white space."""
    return [letter for letter in text if not letter.isspace()]


COLUMNS: Mapping[str, Callable[[Sequence[str]], dict[str, list[str]]]] = {
    "word": word_columns,
    "character": character_columns,
}
TOKENIZERS: Mapping[str, Callable[[str], list[str]]] = {
    "words": split_words,
    "spaces": str.split,
    "characters": split_characters,
}


def check_tokenizer(name: str) -> None:
    """Raise `UserError` unless there is such a tokenizer."""
    if name not in TOKENIZERS:
        raise UserError(f"data.tokenizer: found {name!r}, expected {', '.join(TOKENIZERS)}{nearest(name, TOKENIZERS)}")
