"""Spans in tag sequences, by conlleval's rules and strictly, and their precision, recall and F1.

A tag is `O`, a prefix and a type such as `B-PER`, or a bare prefix where there is one kind of span (`B`, `I`, `E`, `S`
in word segmentation).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

OUTSIDE = "O"
OPEN, INNER = ("B", "I"), ("I", "E")  # what leaves a span open, what goes on with one
ALIASES = {"L": "E", "U": "S", "W": "S", "M": "I"}  # BILOU, BILOW and BMES name the same places otherwise


class Span(NamedTuple):
    """Tokens `start` up to, not including, `stop`."""

    start: int
    stop: int
    type: str


def split_tag(tag: str) -> tuple[str, str]:
    """`B-PER` to `("B", "PER")`, with BILOU's and BMES's letters told as BIOES; `O` to `("O", "")`."""
    prefix, _, kind = tag.partition("-")
    return ALIASES.get(prefix, prefix), kind


def extract(tags: Iterable[str]) -> list[Span]:
    """Spans by the rules of conlleval (CoNLL-2000 and later): any of IOB1, IOB2 and BIOES, illegal steps forgiven.

    A span ends at `E` and `S`, before `B`, `S` and `O`, and where the type changes; what follows the end and is not
    `O` begins a new one.
    """
    spans: list[Span] = []
    start, before, kind = 0, OUTSIDE, ""
    for i, tag in enumerate([*tags, OUTSIDE]):
        prefix, here = split_tag(tag)
        joined = before in OPEN and prefix in INNER and here == kind
        if before != OUTSIDE and not joined:
            spans.append(Span(start, i, kind))
        if not joined:
            start = i
        before, kind = prefix, here
    return spans


def extract_strict(tags: Sequence[str], scheme: str) -> list[Span]:
    """Spans that obey `scheme` to the letter, as seqeval's strict mode: a span begun or ended wrongly is none.

    In `iob2` a span is `B` and the `I` of its type that follow; in `bioes`, `S`, or `B`, any `I`, and `E`.
    """
    spans: list[Span] = []
    start: int | None = None
    kind = ""
    for i, tag in enumerate([*tags, OUTSIDE]):
        prefix, here = split_tag(tag)
        if start is not None and not (prefix in INNER and here == kind):
            if scheme == "iob2":
                spans.append(Span(start, i, kind))
            start = None
        if prefix == "B":
            start, kind = i, here
        elif scheme == "bioes" and prefix == "S":
            spans.append(Span(i, i + 1, here))
        elif scheme == "bioes" and prefix == "E" and start is not None:
            spans.append(Span(start, i + 1, kind))
            start = None
    return spans


class Score(NamedTuple):
    """Precision, recall and F1 in [0, 1], zero where undefined, as conlleval has it; and the gold spans behind them."""

    precision: float
    recall: float
    f1: float
    support: int

    @classmethod
    def of(cls, correct: int, found: int, gold: int) -> "Score":
        """From numbers of spans."""
        return cls(correct / max(found, 1), correct / max(gold, 1), 2 * correct / max(found + gold, 1), gold)


@dataclass
class SpanCounts:
    """Correct, found and gold spans by type, added up over sentences; exact borders and type."""

    correct: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    gold: Counter[str] = field(default_factory=Counter)

    def add(self, found: Iterable[Span], gold: Iterable[Span]) -> None:
        """Count one sentence."""
        found, gold = set(found), set(gold)
        self.found.update(span.type for span in found)
        self.gold.update(span.type for span in gold)
        self.correct.update(span.type for span in found & gold)

    @property
    def types(self) -> list[str]:
        """Every type seen, in gold or found."""
        return sorted(self.gold.keys() | self.found.keys())

    def score(self, kind: str | None = None) -> Score:
        """Of one type, or over all spans (micro average)."""
        numbers = (self.correct, self.found, self.gold)
        return Score.of(*(counts.total() if kind is None else counts[kind] for counts in numbers))
