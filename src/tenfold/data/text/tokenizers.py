"""From a line of text to its tokens, by regular expressions only: no model and no dictionary to install."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
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


TokenizerName = Literal["auto", "words", "characters"]
TOKENIZERS: dict[str, Callable[[str], list[str]]] = {"words": words, "characters": characters}


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
