"""Spans by conlleval's rules and strictly; schemes, their conversion, repair and constraints."""

import itertools

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenfold.topics.sequence_labeling.schemes import SCHEMES, constraints, convert, detect, encode, violations
from tenfold.topics.sequence_labeling.spans import Score, Span, SpanCounts, extract, extract_strict

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
TAGS = ["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("A", "B"))]

# The rules that the CoNLL-2000 script conlleval publishes, as tables of (previous, current) prefixes.
ENDS = {("E", any_) for any_ in "BIESO"} | {("S", any_) for any_ in "BIESO"}
ENDS |= {(before, now) for before in "BI" for now in "BSO"}
STARTS = {(any_, now) for any_ in "BIESO" for now in "BS"} | {(before, now) for before in "ESO" for now in "EI"}


def by_the_tables(tags: list[str]) -> list[Span]:
    spans, start = [], -1
    around = ["O", *tags, "O"]
    for i, (before, now) in enumerate(itertools.pairwise(around)):
        (p, kind), (q, here) = ((tag + "-").split("-")[:2] for tag in (before, now))
        if (p, q) in ENDS or (p != "O" and kind != here):
            spans.append(Span(start, i, kind))
        if (q != "O" and kind != here) or (p, q) in STARTS:
            start = i
    return [span for span in spans if span.start < span.stop]


@unhurried
@given(st.lists(st.sampled_from(TAGS), max_size=8))
def test_extract_follows_the_published_rules(tags: list[str]) -> None:
    assert extract(tags) == by_the_tables(tags)


@pytest.mark.parametrize(
    "tags, spans",
    [
        ("B-NP B-NP I-NP I-NP O", [(0, 1, "NP"), (1, 4, "NP")]),  # Boeing | 's 747 jetliners .
        ("I-NP B-NP I-NP I-NP O", [(0, 1, "NP"), (1, 4, "NP")]),
        ("I-PER I-ORG O I-ORG", [(0, 1, "PER"), (1, 2, "ORG"), (3, 4, "ORG")]),
        ("B-PER O I-PER E-PER S-PER", [(0, 1, "PER"), (2, 4, "PER"), (4, 5, "PER")]),
        ("B M E S B E", [(0, 3, ""), (3, 4, ""), (4, 6, "")]),
        ("U-LOC B-LOC L-LOC", [(0, 1, "LOC"), (1, 3, "LOC")]),
        ("", []),
    ],
)
def test_extract_examples(tags: str, spans: list[tuple[int, int, str]]) -> None:
    assert extract(tags.split()) == spans


@pytest.mark.parametrize(
    "tags, scheme, spans",
    [
        ("B-A I-A I-B O I-A B-B", "iob2", [(0, 2, "A"), (5, 6, "B")]),
        ("B-A I-A I-B O I-A B-B", "bioes", []),
        ("B-A I-A E-A S-B E-B B-A E-A B-B", "bioes", [(0, 3, "A"), (3, 4, "B"), (5, 7, "A")]),
    ],
)
def test_extract_strict(tags: str, scheme: str, spans: list[tuple[int, int, str]]) -> None:
    assert extract_strict(tags.split(), scheme) == spans


@st.composite
def sentences(draw: st.DrawFn) -> tuple[int, list[Span]]:
    length, spans, position = draw(st.integers(0, 10)), [], 0
    while position < length:
        stop = draw(st.integers(position + 1, length))
        if draw(st.booleans()):
            spans.append(Span(position, stop, draw(st.sampled_from(["A", "B"]))))
        position = stop
    return length, spans


@unhurried
@given(sentences(), st.sampled_from(SCHEMES), st.sampled_from(SCHEMES))
def test_conversion_keeps_every_span(sentence: tuple[int, list[Span]], source: str, target: str) -> None:
    length, spans = sentence
    tags = encode(spans, length, source)
    assert extract(tags) == spans
    assert violations(tags, source) == []
    assert convert(tags, target) == encode(spans, length, target)
    if source != "iob1":
        assert extract_strict(tags, source) == spans


@unhurried
@given(st.lists(st.sampled_from(TAGS), max_size=8), st.sampled_from(SCHEMES))
def test_repair_gives_legal_tags_and_leaves_legal_ones_alone(tags: list[str], scheme: str) -> None:
    repaired = convert(tags, scheme)
    assert violations(repaired, scheme) == []
    assert extract(repaired) == extract(tags)
    if scheme == "bioes" and not violations(tags, scheme):
        assert repaired == tags


def test_violations_name_positions() -> None:
    assert violations(["O", "I-A", "I-A", "B-B", "I-A"], "iob2") == [1, 4]
    assert violations(["B-A", "O", "S-A", "B-A"], "bioes") == [1, 4]
    assert violations(["B-A", "I-A", "B-A", "B-B"], "iob1") == [0, 3]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_constraints_allow_what_has_no_violation(scheme: str) -> None:
    tags = TAGS if scheme == "bioes" else [tag for tag in TAGS if tag[0] in "OBI"]
    rules = constraints(tags, scheme)
    for path in itertools.product(range(len(tags)), repeat=3):
        allowed = rules.start[path[0]] & rules.end[path[-1]] & rules.transitions[list(path[:-1]), list(path[1:])].all()
        assert bool(allowed) == (violations([tags[k] for k in path], scheme) == [])
    assert rules.transitions.dtype == torch.bool


def test_detection() -> None:
    assert detect([["I-A", "I-A", "O", "I-B", "B-B"]]) == "iob1"
    assert detect([["I-A", "I-A", "O", "B-B"]]) == "iob2"
    assert detect([["O", "B-A", "E-A"], ["O"]]) == "bioes"
    assert detect([["B", "M", "E", "S"]]) == "bioes"
    assert detect([["NN", "VB", "O"]]) is None
    assert detect([["O", "O"], []]) is None


def test_the_published_conlleval_example() -> None:
    """CoNLL-2000's sample output: by type, found and correct spans, from which the printed percentages come."""
    counts = SpanCounts()
    published = {  # type: (gold, found, correct)
        "ADJP": (6, 1, 0), "ADVP": (8, 11, 5), "NP": (262, 317, 206), "PP": (90, 107, 89), "SBAR": (6, 3, 2),
        "VP": (87, 100, 69),
    }  # fmt: skip
    for kind, (gold, found, correct) in published.items():
        shared = [Span(i, i + 1, kind) for i in range(correct)]
        counts.add(
            shared + [Span(1000 + i, 1001 + i, kind) for i in range(found - correct)],
            shared + [Span(2000 + i, 2001 + i, kind) for i in range(gold - correct)],
        )
    assert percent(counts.score()) == (68.83, 80.83, 74.35, 459)
    assert percent(counts.score("NP")) == (64.98, 78.63, 71.16, 262)
    assert percent(counts.score("PP")) == (83.18, 98.89, 90.36, 90)
    assert percent(counts.score("SBAR")) == (66.67, 33.33, 44.44, 6)
    assert percent(counts.score("VP")) == (69.0, 79.31, 73.8, 87)
    assert percent(counts.score("ADVP")) == (45.45, 62.5, 52.63, 8)
    assert percent(counts.score("ADJP")) == (0, 0, 0, 6)
    assert counts.types == sorted(published)


def percent(score: Score) -> tuple[float, float, float, int]:
    return round(100 * score.precision, 2), round(100 * score.recall, 2), round(100 * score.f1, 2), score.support


def test_no_spans_at_all_scores_zero() -> None:
    assert SpanCounts().score() == (0, 0, 0, 0)
