"""Semantic roles as the CoNLL tasks of 2005 and 2012 write them: brackets around each predicate's arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tenfold.errors import UserError
from tenfold.topics.sequence_labeling.spans import Span

_CELL = re.compile(r"(?:\(([^()*\s]+))?\*(\)?)")


def propositions(
    columns: Sequence[Sequence[str]], predicates: Sequence[int], where: str
) -> Iterator[tuple[int, list[Span]]]:
    """Each predicate's position and its arguments, one column each in the order of the predicates.

    `columns` [tokens][predicates] hold `(A0*` where an argument begins, `*)` where it ends, `(V*)` for one token. The
    predicate itself, `V`, is left out: it is given. Raises `UserError`, beginning with `where`.
    """
    for place, at in enumerate(predicates):
        if any(len(row) <= place for row in columns):
            raise UserError(f"{where}: has {len(predicates)} predicates, expected a column of roles for each")
        spans = _arguments([row[place] for row in columns], where)
        yield at, [span for span in spans if span.type not in ("V", "C-V")]


def _arguments(cells: Sequence[str], where: str) -> Iterator[Span]:
    start, kind = -1, ""
    for i, cell in enumerate(cells):
        found = _CELL.fullmatch(cell)
        if found is None or (found[1] and start >= 0) or (found[2] and not found[1] and start < 0):
            raise UserError(f"{where}: role {cell!r} at token {i + 1}, expected brackets such as (A0*, * and *)")
        if found[1]:
            start, kind = i, found[1]
        if found[2]:
            yield Span(start, i + 1, kind)
            start = -1
    if start >= 0:
        raise UserError(f"{where}: role ({kind}* is not closed, expected *) further down")
