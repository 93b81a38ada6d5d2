"""From a line of text to its tokens, by regular expressions only: no model and no dictionary to install."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from operator import add
from typing import Literal

from tenfold.errors import UserError, nearest

#: Han characters and Japanese kana: scripts that put no space between words.
_UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
_CHARACTER = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+(?:['’][^\W{_UNSPACED}]+)*|[^\w\s]")
_LETTER, _UNSPACED_LETTER = re.compile(r"[^\W\d_]"), re.compile(rf"[{_UNSPACED}]")


def words(text: str) -> list[str]:
    """Runs of letters and digits in lower case, `don't` being one; every other sign is a token of its own."""
    return _WORD.findall(text.lower())


def characters(text: str) -> list[str]:
    """Each Chinese or Japanese character is a token; other scripts and signs are as in `words`."""
    return _CHARACTER.findall(text.lower())


def bigrams(text: str) -> list[str]:
    """Each token of `characters`, then its pair with the next: most Chinese words are of two characters."""
    return _ngrams(characters(text), 2)


def trigrams(text: str) -> list[str]:
    """Each token of `characters`, then its pair with the next, then its triple with the next two."""
    return _ngrams(characters(text), 3)


def _ngrams(tokens: list[str], order: int) -> list[str]:
    """In the order in which they start, so that to cut the list short is to cut the text short."""
    grams = [""] * (order * len(tokens))
    grams[::order] = longest = tokens
    spaced = [f"{token} " for token in tokens]
    for length in range(1, order):
        longest = list(map(add, spaced, longest[1:]))
        grams[length::order] = longest + [""] * (len(tokens) - len(longest))
    return list(filter(None, grams))


TokenizerName = Literal["auto", "words", "characters", "bigrams", "trigrams"]
TOKENIZERS: dict[str, Callable[[str], list[str]]] = {
    "words": words,
    "characters": characters,
    "bigrams": bigrams,
    "trigrams": trigrams,
}


def check_tokenizer(name: str) -> None:
    known = ["auto", *TOKENIZERS]
    if name not in known:
        raise UserError(f"data.tokenizer: found {name!r}, expected {', '.join(known)}{nearest(name, known)}")


def suited_tokenizer(texts: Iterable[str], enough: int = 100_000) -> str:
    """What `auto` stands for: `characters` where most letters (of the first `enough`) have no spaces between words."""
    unspaced = letters = 0
    for text in texts:
        unspaced += len(_UNSPACED_LETTER.findall(text))
        letters += len(_LETTER.findall(text))
        if letters >= enough:
            break
    return "characters" if 2 * unspaced > letters else "words"
