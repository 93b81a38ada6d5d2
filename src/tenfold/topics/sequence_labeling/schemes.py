"""Tagging schemes IOB1, IOB2 (BIO) and BIOES: conversion, repair, and what may follow what."""

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tenfold.topics.sequence_labeling.spans import INNER, OPEN, OUTSIDE, Span, extract, split_tag

SCHEMES = ("iob1", "iob2", "bioes")
PREFIXES = {OUTSIDE, "B", "I", "E", "S"}


class Constraints(NamedTuple):
    """Which tags may begin [tags], follow each other [from, to] and end [tags] a sequence."""

    start: Tensor
    transitions: Tensor
    end: Tensor


def may_follow(before: str | None, tag: str | None, scheme: str) -> bool:
    """Whether `tag` may follow `before` in `scheme`; None stands for the outside of the sentence."""
    left, left_type = split_tag(before or OUTSIDE)
    right, right_type = split_tag(tag or OUTSIDE)
    same = left_type == right_type
    if scheme == "iob1":  # B only where a span of its type would else run on
        return right != "B" or (left in OPEN and same)
    if scheme == "iob2":
        return right != "I" or (left in OPEN and same)
    if left in OPEN:
        return right in INNER and same
    return right not in INNER


def constraints(tags: Sequence[str], scheme: str) -> Constraints:
    """The constraints that `scheme` puts on a tag vocabulary."""
    start = torch.tensor([may_follow(None, tag, scheme) for tag in tags])
    end = torch.tensor([may_follow(tag, None, scheme) for tag in tags])
    return Constraints(start, torch.tensor([[may_follow(a, b, scheme) for b in tags] for a in tags]), end)


def violations(tags: Sequence[str], scheme: str) -> list[int]:
    """Positions that may not follow what stands before them; the length, where the last tag may not end a sentence."""
    around = [None, *tags, None]
    return [i for i, (a, b) in enumerate(itertools.pairwise(around)) if not may_follow(a, b, scheme)]


def encode(spans: Iterable[Span], length: int, scheme: str) -> list[str]:
    """The tags of non-overlapping spans."""
    tags = [OUTSIDE] * length
    previous = Span(0, 0, "")
    for span in sorted(spans):
        touches = span.start == previous.stop and span.type == previous.type and previous.stop > 0
        for i in range(span.start, span.stop):
            prefix = _prefix(i == span.start, i == span.stop - 1, touches, scheme)
            tags[i] = f"{prefix}-{span.type}" if span.type else prefix
        previous = span
    return tags


def _prefix(first: bool, last: bool, touches: bool, scheme: str) -> str:
    if scheme == "bioes":
        return ("S" if last else "B") if first else ("E" if last else "I")
    return "B" if first and (scheme == "iob2" or touches) else "I"


def convert(tags: Sequence[str], scheme: str) -> list[str]:
    """Tags of any scheme, told in `scheme`. Illegal tags are repaired on the way, by conlleval's reading."""
    return encode(extract(tags), len(tags), scheme)


def detect(sentences: Sequence[Sequence[str]]) -> str | None:
    """The scheme in which the tags are written, or None where they are plain labels such as parts of speech.

    `E` and `S` tell BIOES. IOB1 uses `B` only between touching spans of one type, so a `B` anywhere else tells IOB2.
    """
    prefixes = {split_tag(tag)[0] for tags in sentences for tag in tags}
    if not prefixes <= PREFIXES or prefixes == {OUTSIDE}:
        return None
    if prefixes & {"E", "S"}:
        return "bioes"
    steps = (pair for tags in sentences for pair in zip([OUTSIDE, *tags], tags, strict=False))
    return "iob1" if all(may_follow(before, tag, "iob1") for before, tag in steps) else "iob2"
