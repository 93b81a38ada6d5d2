"""Tagged tokens as coloured text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from tenfold.topics.sequence_labeling.spans import extract

COLOURS = (34, 33, 32, 35, 36, 31)  # ANSI foregrounds: blue, yellow, green, magenta, cyan, red


def coloured(tokens: Sequence[str], tags: Sequence[str], kinds: Sequence[str], gap: str, spans: bool) -> str:
    """One line: spans, or with plain labels every token, each in the colour of its kind and followed by it.

    kinds: the types of spans, or the labels; those of one colour differ by what is written behind. Spans without a
        type, words of a segmentation, take turns in two colours.
    """
    colours = {kind: COLOURS[place % len(COLOURS)] for place, kind in enumerate(kinds)}
    if not spans:
        return gap.join(_piece(clean(token), tag, colours[tag]) for token, tag in zip(tokens, tags, strict=True))
    pieces, position = [], 0
    for place, (start, stop, kind) in enumerate(extract(tags)):
        colour = colours[kind] if kind else COLOURS[place % 2]
        pieces += [clean(token) for token in tokens[position:start]]
        pieces.append(_piece(gap.join(map(clean, tokens[start:stop])), kind, colour))
        position = stop
    return gap.join([*pieces, *map(clean, tokens[position:])])


def clean(token: str) -> str:
    """Without characters that a terminal would act on."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in token)


def _piece(text: str, kind: str, colour: int) -> str:
    return f"\033[1;{colour}m{text}\033[0m" + (f"\033[2;{colour}m/{kind}\033[0m" if kind else "")
