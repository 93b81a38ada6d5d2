"""Tokens back into a line of text, and lines of text on the dashboard."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LETTER_END, _LETTER_START = re.compile(r"[a-z0-9]$", re.IGNORECASE), re.compile(r"^[a-z0-9]", re.IGNORECASE)


def joined(tokens: Sequence[str], tokenizer: str) -> str:
    """Words with a space between and none before a closing sign; characters with none, but between Latin words."""
    text = ""
    for token in tokens:
        if tokenizer == "words":
            spaced = bool(text) and not re.fullmatch(r"[.,;:!?)\]}%…”’]", token) and not text.endswith(("(", "[", "“"))
        else:
            spaced = bool(_LETTER_END.search(text) and _LETTER_START.search(token))
        text += " " + token if spaced else token
    return text


def table(conditions: Sequence[str], texts: Sequence[str], longest: int = 200) -> str:
    """A table in markdown: what was asked for, and the text."""
    rows = ["| asked for | text |", "| --- | --- |"]
    rows += [
        f"| {_escaped(asked, 40)} | {_escaped(text, longest)} |" for asked, text in zip(conditions, texts, strict=True)
    ]
    return "\n".join(rows) + "\n"


def _escaped(text: str, longest: int) -> str:
    """Cut to length, with no character that markdown or HTML would act on."""
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return re.sub(r"[\\`*_~|<>&#\[\]]", lambda match: f"&#{ord(match[0])};", text)
