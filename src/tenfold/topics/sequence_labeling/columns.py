"""What a tagger is shown of each token: columns of strings, which vocabularies turn into indices."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Literal

from tenfold.errors import UserError, nearest
from tenfold.topics.sequence_labeling.lexicon import lexicon_columns

Unit = Literal["word", "character", "role"]

_WORD = re.compile(r"\w+(?:[-.'’]\w+)*|[^\w\s]")
_BRACKETED = re.compile(r"\[.+\]")


def columns_of(unit: str, tokens: Sequence[str], known: Collection[str] | None = None) -> dict[str, list[str]]:
    """The unit's columns by name; with a list of `known` words, what it says of the tokens, too."""
    said = lexicon_columns(tokens, known) if known is not None else {}
    return {**COLUMNS[unit](tokens), **said}


def word_columns(tokens: Sequence[str]) -> dict[str, list[str]]:
    """A word in lower case, its last and first letters, and its shape."""
    folded = [token.lower() for token in tokens]
    endings = {f"suffix{n}": [token[-n:] for token in folded] for n in (1, 2, 3)}
    beginnings = {f"prefix{n}": [token[:n] for token in folded] for n in (1, 2, 3)}
    return {"word": folded, **endings, **beginnings, "shape": [shape(token) for token in tokens]}


def role_columns(tokens: Sequence[str]) -> dict[str, list[str]]:
    """A word as in `word_columns`, its place beside the predicate, which stands in brackets, and the predicate."""
    at = next((i for i, token in enumerate(tokens) if _BRACKETED.fullmatch(token)), None)
    words = [token if i != at else token[1:-1] for i, token in enumerate(tokens)]
    beside = ["none" if at is None else str(min(max(i - at, -4), 4)) for i in range(len(tokens))]
    predicate = "" if at is None else words[at].lower()
    return {**word_columns(words), "beside": beside, "predicate": [predicate] * len(tokens)}


def character_columns(tokens: Sequence[str]) -> dict[str, list[str]]:
    """A character, the pairs that it makes with its neighbours, and its kind."""
    around = ["<", *tokens, ">"]
    return {
        "character": list(tokens),
        "pair_before": [a + b for a, b in zip(around, tokens, strict=False)],
        "pair_after": [a + b for a, b in zip(tokens, around[2:], strict=False)],
        "shape": [shape(token) for token in tokens],
    }


@lru_cache(maxsize=100_000)
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
    """Words of a raw line, and each sign on its own."""
    return _WORD.findall(text)


def split_characters(text: str) -> list[str]:
    """Every character but white space."""
    return [letter for letter in text if not letter.isspace()]


COLUMNS: Mapping[str, Callable[[Sequence[str]], dict[str, list[str]]]] = {
    "word": word_columns,
    "character": character_columns,
    "role": role_columns,
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
