"""A word list from the training tags: what a tagger is shown of the known words that a token may be in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Protocol

from tenfold.errors import UserError
from tenfold.topics.sequence_labeling.spans import extract

LONGEST = 6  # tokens of a known word
BLOCK = 20  # neighbouring sentences, which share words, stay in one part


class Tagged(Protocol):
    """A sentence as `data.Sentence`."""

    @property
    def tokens(self) -> list[str]: ...

    @property
    def tags(self) -> list[str]: ...


def lexicon_columns(tokens: Sequence[str], known: Collection[str]) -> dict[str, list[str]]:
    """Lengths of the longest known words that begin and end at each token, and where it stands in the longest one."""
    begins, ends = [1] * len(tokens), [1] * len(tokens)
    inside, around = ["s"] * len(tokens), [1] * len(tokens)
    for start in range(len(tokens)):
        for length in range(2, min(LONGEST, len(tokens) - start) + 1):
            if "".join(tokens[start : start + length]) not in known:
                continue
            last = start + length - 1
            begins[start], ends[last] = length, max(ends[last], length)
            for at in range(start, last + 1):
                if around[at] < length:
                    around[at], inside[at] = length, "b" if at == start else "e" if at == last else "i"
    lengths = [f"{begin}{end}" for begin, end in zip(begins, ends, strict=True)]
    places = [f"{place}{length}" for place, length in zip(inside, around, strict=True)]
    return {
        "known_lengths": lengths,
        "known_place": places,
        "known": [length + place for length, place in zip(lengths, places, strict=True)],
        "begins_known": [f"{token}{begin}" for token, begin in zip(tokens, begins, strict=True)],
        "ends_known": [f"{token}{end}" for token, end in zip(tokens, ends, strict=True)],
    }


def collect(sentences: Sequence[Tagged], parts: int) -> tuple[frozenset[str], list[frozenset[str]] | None]:
    """All words of two to `LONGEST` tokens; and, for each sentence, those that other parts of the sentences have.

    In testing, some words are in no list. A tagger that is trained beside a list of all its words would trust it too
    much, so in training it is shown the words of the `parts` that its own sentence is not in. Without any, no lists.
    """
    counts = [Counter[str]() for _ in range(parts)]
    for index, sentence in enumerate(sentences if parts else ()):
        counts[index // BLOCK % parts].update(_words(sentence))
    total = sum(counts, Counter[str]())
    if not total:
        return frozenset(), None
    others = [frozenset(word for word, count in total.items() if count > own[word]) for own in counts]
    return frozenset(total), [others[index // BLOCK % parts] for index in range(len(sentences))]


def check_lexicon(parts: int, scheme: str | None) -> None:
    """Raise `UserError` unless there are spans to list, and two parts of them at least."""
    if parts < 0 or parts == 1:
        raise UserError(f"data.lexicon_parts: found {parts}, expected 0 for no lexicon, or at least 2")
    if parts and scheme is None:
        raise UserError(f"data.lexicon_parts: found {parts} for plain labels, expected 0, or tags of spans")


def _words(sentence: Tagged) -> list[str]:
    spans = [span for span in extract(sentence.tags) if 1 < span.stop - span.start <= LONGEST]
    return ["".join(sentence.tokens[span.start : span.stop]) for span in spans]
