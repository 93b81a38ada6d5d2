"""Pictures of an evaluated tagger: F1 by type, its mistakes, the transitions it learnt, tagged examples."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tenfold.callbacks.figures import BLUE, GREY, ORANGE, new_figure, printable
from tenfold.topics.sequence_labeling.spans import Span, extract
from tenfold.topics.sequence_labeling.spec import UNSEEN, TaggingSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tenfold.topics.sequence_labeling.tally import Example, Tally

MOST = 30  # tags in a matrix; of more, those with the most mistakes


def f1_by_type(tally: Tally) -> Figure:
    """Precision, recall and F1 of each type of span, and of all."""
    types = [kind for kind in tally.spec.types if kind != UNSEEN]
    scores = [tally.span_score(), *(tally.span_score(kind) for kind in types)]
    names = ["all spans", *printable([kind or "span" for kind in types])]
    with new_figure(6.4, 1.2 + 0.42 * len(names)) as figure:
        axes = figure.add_axes(
            (0.28, 0.6 / (1.2 + 0.42 * len(names)), 0.66, 0.42 * len(names) / (1.2 + 0.42 * len(names)))
        )
        rows = range(len(names))
        axes.barh(rows, [score.f1 for score in scores], height=0.6, color=BLUE, alpha=0.8)
        axes.plot([score.precision for score in scores], rows, "|", color=ORANGE, markersize=12, label="precision")
        axes.plot([score.recall for score in scores], rows, "|", color=GREY, markersize=12, label="recall")
        for row, score in zip(rows, scores, strict=True):
            axes.text(0.01, row, f"{score.f1:.3f}", va="center", color="white" if score.f1 > 0.1 else "black")
        labels = [f"{name} ({score.support})" for name, score in zip(names, scores, strict=True)]
        axes.set_yticks(rows, labels)
        axes.set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.5), xlabel="F1 (exact spans, conlleval)")
        axes.legend(loc="lower right")
    return figure


def confusions(counts: Tensor, gold_tags: Sequence[str]) -> Figure:
    """Share of each gold tag (row) that was given each tag (column); counts are [2, gold tags, tags]."""
    table = counts[0].float()
    wrong = table.clone()
    wrong[: wrong.shape[1]].fill_diagonal_(0)
    columns = _busiest(wrong[: wrong.shape[1]].sum(1) + wrong.sum(0))
    rows = [*columns, *(row for row in range(wrong.shape[1], len(table)) if table[row].any())]
    shares = (table / table.sum(1, keepdim=True).clamp(min=1))[rows][:, columns]
    tags = printable(gold_tags)
    return _matrix(
        shares, [tags[k] for k in rows], [tags[k] for k in columns], "gold tag", "tag found", "Confusion of tags"
    )


def transitions(scores: Tensor, tags: Sequence[str]) -> Figure:
    """The CRF's scores from one tag to the next; forbidden steps stay blank."""
    scores = scores.detach().float().cpu()
    finite = scores.masked_fill(scores.isinf(), 0)
    shown = _busiest(finite.abs().sum(0) + finite.abs().sum(1))
    names = printable([tags[k] for k in shown])
    return _matrix(scores[shown][:, shown], names, names, "from", "to", "Transition scores", signed=True)


def _busiest(weight: Tensor) -> list[int]:
    return sorted(weight.topk(min(MOST, len(weight))).indices.tolist())


def _matrix(
    values: Tensor, rows: list[str], columns: list[str], ylabel: str, xlabel: str, title: str, signed: bool = False
) -> Figure:
    from matplotlib.colors import LinearSegmentedColormap

    side = max(2.4, 0.26 * max(len(rows), len(columns)))
    colours = LinearSegmentedColormap.from_list("shares", [ORANGE, "white", BLUE] if signed else ["white", BLUE])
    finite = values[values.isfinite()]
    limit = float(finite.abs().max()) if finite.numel() else 1.0
    with new_figure(side + 2.2, side + 2.0) as figure:
        axes = figure.add_axes((1.3 / (side + 2.2), 1.3 / (side + 2.0), side / (side + 2.2), side / (side + 2.0)))
        image = axes.imshow(
            values.masked_fill(values.isinf(), torch.nan).numpy(),
            cmap=colours,
            vmin=-limit if signed else 0,
            vmax=limit if signed else 1,
            aspect="auto",
        )
        axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=7)
        axes.set_yticks(range(len(rows)), rows, fontsize=7)
        axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
        axes.grid(visible=False)
        figure.colorbar(image, ax=axes, fraction=0.04)
    return figure


def tagged(examples: Sequence[Example], spec: TaggingSpec) -> str:
    """Sentences in Markdown: right in blue, found wrongly in orange, missed in grey and struck through."""
    gap = "" if spec.unit == "character" else " "
    mark = _marked_spans if spec.scheme else _marked_tags
    legend = ", ".join(
        f"<span style='color:{colour}'>{word}</span>"
        for colour, word in ((BLUE, "**right**"), (ORANGE, "**wrong**"), (GREY, "~~missed~~"))
    )
    return "\n\n".join([legend, *(f"- {mark(example, gap)}" for example in examples)]) + "\n"


def _marked_spans(example: Example, gap: str) -> str:
    found, gold = extract(example.guessed), extract(example.gold)
    right, missed = set(found) & set(gold), [span for span in gold if span not in found]
    pieces, position = [], 0
    for span in found:
        pieces += [_escaped(word) for word in example.tokens[position : span.start]]
        pieces.append(_piece(example.tokens, span, BLUE if span in right else ORANGE, gap))
        position = span.stop
    pieces += [_escaped(word) for word in example.tokens[position:]]
    return gap.join(pieces) + "".join(f" {_piece(example.tokens, span, GREY, gap)}" for span in missed)


def _piece(tokens: Sequence[str], span: Span, colour: str, gap: str) -> str:
    text = _escaped(gap.join(tokens[span.start : span.stop]))
    text = f"~~{text}~~" if colour == GREY else f"**{text}**"
    return f"<span style='color:{colour}'>{text}<sub>{_escaped(span.type)}</sub></span>"


def _marked_tags(example: Example, gap: str) -> str:
    words = []
    for word, guessed, gold in zip(example.tokens, example.guessed, example.gold, strict=True):
        text = f"{_escaped(word)}<sub>{_escaped(guessed)}</sub>"
        note = "" if guessed == gold else f"<sub>~~{_escaped(gold)}~~</sub>"
        words.append(text if not note else f"<span style='color:{ORANGE}'>**{text}**</span>{note}")
    return " ".join(words)


def _escaped(text: str) -> str:
    """With no character that Markdown or HTML would act on."""
    return "".join(f"&#{ord(c)};" if c in "\\`*_~|[]#" else html.escape(c) for c in text)
