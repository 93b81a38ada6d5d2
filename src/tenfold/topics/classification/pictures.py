"""Pictures of an evaluated classifier: confusion matrix, calibration, precision against recall, hardest examples.

`logits` are `[samples, classes]` and `labels` `[samples]`, in the order of the split.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tenfold.callbacks.figures import BLUE, GREY, INK, ORANGE, new_figure, printable, text_width
from tenfold.topics.classification import metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: A sample of the split as a person would look at it, by index: `DataModule.example`.
Example = Callable[[int], Tensor | str]


def confusion_matrix(logits: Tensor, labels: Tensor, class_names: Sequence[str]) -> Figure:
    """Counts of true against predicted class, coloured by share of the true class; recall and precision at the edges.

    Above 25 classes a cell is too small for a number: colours alone. The most frequent mistakes stand below in words.
    """
    counts = metrics.confusion_matrix(logits, labels, len(class_names))
    names = printable(class_names)
    side = min(max(3.4, 0.45 * len(names)), 11)
    fontsize = min(9.0, 0.6 * 72 * side / len(names))
    longest = max(text_width(name, fontsize) for name in names)
    upright = longest > 0.8 * side / len(names)
    left, right, bottom, top = 0.5 + longest, 0.75, 0.75 + (longest if upright else 0.1), 0.85
    width, height = left + side + right, bottom + side + top
    with new_figure(width, height) as figure:
        axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
        _colour_cells(axes, counts)
        axes.set_xticks(range(len(names)), names, fontsize=fontsize, rotation=90 if upright else 0)
        axes.set_yticks(range(len(names)), names, fontsize=fontsize)
        axes.set(ylabel="true class", xlabel="predicted class\n\n" + _most_frequent_mistakes(counts, names, width))
        axes.set_title(
            f"Accuracy {counts.diagonal().sum() / counts.sum():.2%} of {int(counts.sum()):,} samples", pad=12
        )
        axes.tick_params(length=0)
        if len(names) <= 25:
            _write_counts(axes, counts, fontsize)
            _write_ratios(axes, metrics.per_class(logits, labels), min(8.0, fontsize))
    return figure


def _colour_cells(axes: Axes, counts: Tensor) -> None:
    """Blue where right, orange where wrong, the latter on a cube-root scale: 1 % must show beside 99 %."""
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    shares = (counts / counts.sum(1, keepdim=True).clamp(min=1)).numpy()
    right = np.eye(len(shares), dtype=bool)
    for colour, hidden, gamma in ((BLUE, ~right, 0.7), (ORANGE, right, 1 / 3)):
        colours = LinearSegmentedColormap.from_list(colour, ["white", colour])
        axes.imshow(np.ma.masked_where(hidden, shares), cmap=colours, norm=PowerNorm(gamma, 0, 1), aspect="auto")
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)


def _write_counts(axes: Axes, counts: Tensor, fontsize: float) -> None:
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    for true, predicted in counts.nonzero().tolist():
        colour = "white" if shares[true, predicted] > 0.4 else INK
        style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": fontsize, "color": colour}
        axes.text(predicted, true, f"{int(counts[true, predicted])}", **style)


def _write_ratios(axes: Axes, classes: metrics.PerClass, fontsize: float) -> None:
    side, top = axes.secondary_yaxis("right"), axes.secondary_xaxis("top")
    ticks = range(len(classes.recall))
    side.set_yticks(ticks, [f"{100 * value:.1f}" for value in classes.recall.tolist()], fontsize=fontsize)
    top.set_xticks(ticks, [f"{100 * value:.1f}" for value in classes.precision.tolist()], fontsize=fontsize)
    side.set_ylabel("recall, %", color=GREY)
    top.set_xlabel("precision, %", color=GREY)
    for axis in (side, top):
        axis.tick_params(length=0, labelcolor=GREY)


def _most_frequent_mistakes(counts: Tensor, names: Sequence[str], width: float, most: int = 6) -> str:
    """As many of them as go on a line of `width` inches."""
    mistakes = counts.clone().fill_diagonal_(0).flatten()
    if not mistakes.any():
        return "no mistakes"
    line = "most frequent mistakes:"
    for cell in mistakes.argsort(descending=True)[:most].tolist():
        true, predicted = divmod(cell, len(names))
        more = f"{line}   {names[true]} → {names[predicted]} ({int(mistakes[cell])})"
        if not mistakes[cell] or text_width(more, 9) > width:
            break
        line = more
    return line


def reliability_diagram(logits: Tensor, labels: Tensor, bins: int = 15) -> Figure:
    """Accuracy against confidence with 95 % intervals, and how many samples each bin of confidence holds."""
    found = metrics.reliability(logits, labels, bins)
    filled = found.samples > 0
    confidence, accuracy, samples = (column[filled] for column in found)
    with new_figure(5.4, 6.2) as figure:
        grid = {"left": 0.12, "right": 0.97, "top": 0.94, "bottom": 0.08, "hspace": 0.08}
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1], gridspec_kw=grid)
        upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect calibration")
        low, high = _wilson_interval(accuracy, samples)
        upper.vlines(confidence, low, high, color=BLUE, alpha=0.35, linewidth=5, label="95 % interval")
        upper.plot(confidence, accuracy, "o-", color=BLUE, linewidth=1.2, markersize=5, label="accuracy")
        upper.set(
            ylabel="accuracy", xlim=(0, 1.01), ylim=(0, 1.02), title=f"Expected calibration error {found.ece:.4f}"
        )
        upper.legend(loc="lower right")
        centres = (torch.arange(bins)[filled] + 0.5) / bins
        lower.bar(centres.numpy(), samples.numpy(), width=0.92 / bins, color=BLUE, alpha=0.75)
        mean = float((confidence * samples).sum() / samples.sum())
        lower.axvline(mean, color=ORANGE, linewidth=1.5, label=f"mean confidence {mean:.4f}")
        lower.set(yscale="log", ylim=(0.6, None), xlabel="confidence (probability of the predicted class)")
        lower.set_ylabel("samples")
        lower.legend(loc="upper left")
    return figure


def _wilson_interval(share: Tensor, samples: Tensor, z: float = 1.96) -> tuple[Tensor, Tensor]:
    """Interval of a share of few samples, within 0 and 1 (Wilson, 1927)."""
    centre = (share + z**2 / (2 * samples)) / (1 + z**2 / samples)
    half = z * (share * (1 - share) / samples + z**2 / (4 * samples**2)).sqrt() / (1 + z**2 / samples)
    return centre - half, centre + half


def precision_recall_curves(logits: Tensor, labels: Tensor, class_names: Sequence[str]) -> Figure:
    """Each class against the rest, up to full recall; zoomed on where the curves leave the precision of 1.

    Above 12 classes only the five of lowest average precision have a colour and a name.
    """
    scores = logits.double().softmax(1)  # in float32 the probabilities of sure predictions would tie at 1
    present = labels.unique().tolist()
    curves = {index: metrics.precision_recall_curve(scores[:, index], labels == index) for index in present}
    average = {index: float(curve.average_precision) for index, curve in curves.items()}
    worst = sorted(present, key=lambda index: average[index])
    named = present if len(class_names) <= 12 else worst[:5]
    with new_figure(7.0, 5.0) as figure:
        axes = figure.add_axes((0.1, 0.1, 0.6, 0.82))
        _draw_curves(axes, [_steps(curves[index]) for index in worst if index not in named])
        names = printable(class_names)
        labelled = [f"{average[index]:.4f}  {names[index]}" for index in named]
        _draw_curves(axes, [_steps(curves[index]) for index in named], labelled)
        _zoom(axes, [_steps(curve) for curve in curves.values()])
        mean = sum(average.values()) / len(average)
        axes.set(xlabel="recall", ylabel="precision", title=f"Mean average precision {mean:.4f}")
        title = "average precision" if named is present else "lowest average precision"
        axes.legend(title=title, loc="upper left", bbox_to_anchor=(1.01, 1), alignment="left")
    return figure


Steps = tuple[Tensor, Tensor]


def _steps(curve: metrics.PrecisionRecall) -> Steps:
    """Recall and precision where recall grows: what lies between only loses precision."""
    grows = curve.recall.diff(prepend=curve.recall.new_full((1,), -1)) > 0
    return curve.recall[grows], curve.precision[grows]


def _draw_curves(axes: Axes, curves: Sequence[Steps], names: Sequence[str] = ()) -> None:
    from matplotlib import colormaps

    colours = colormaps["tab10" if len(names) <= 10 else "tab20"]
    for index, (recall, precision) in enumerate(curves):
        style: dict[str, Any] = {"color": GREY, "linewidth": 0.5}
        if names:
            style = {"color": colours(index), "linewidth": 1.6, "label": names[index]}
        axes.plot(recall, precision, drawstyle="steps-pre", **style)


def _zoom(axes: Axes, curves: Sequence[Steps]) -> None:
    left = bottom = 0.9
    for recall, precision in curves:
        if (precision < 1).any():
            left, bottom = min(left, float(recall[precision < 1].min())), min(bottom, float(precision.min()))
    left, bottom = int(left * 10) / 10, int(bottom * 10) / 10
    axes.set(xlim=(left, 1 + 0.02 * (1 - left)), ylim=(bottom, 1 + 0.02 * (1 - bottom)))


def hardest_examples(
    logits: Tensor, labels: Tensor, class_names: Sequence[str], example: Example, most: int = 24
) -> Figure | str:
    """The samples of highest cross-entropy, each with its true and its predicted class and that one's probability.

    Images make a figure; lines of text make a page of markdown, since a figure's fonts need not know their script.
    """
    hardest = F.cross_entropy(logits, labels, reduction="none").topk(min(most, len(labels))).indices
    examples = [example(index) for index in hardest.tolist()]
    texts = [item for item in examples if isinstance(item, str)]
    if texts:
        return hardest_text(logits[hardest], labels[hardest], class_names, texts)
    images = [item for item in examples if isinstance(item, Tensor)]
    return hardest_images(logits[hardest], labels[hardest], class_names, images)


def hardest_text(logits: Tensor, labels: Tensor, class_names: Sequence[str], texts: Sequence[str]) -> str:
    """A table in markdown: both classes, their probabilities, and the text."""
    rows = ["| true | probability | predicted | probability | text |", "| --- | ---: | --- | ---: | --- |"]
    for probabilities, label, text in zip(logits.softmax(1), labels.tolist(), texts, strict=True):
        cells = []
        for index in (label, int(probabilities.argmax())):
            cells += [_escaped(class_names[index], 40), f"{probabilities[index]:.1%}"]
        rows.append(f"| {' | '.join(cells)} | {_escaped(text, 300)} |")
    return "\n".join(rows) + "\n"


def _escaped(text: str, longest: int) -> str:
    """On one line, cut to length, with no character that markdown or HTML would act on."""
    text = " ".join(text.split())
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return re.sub(r"[\\`*_~|<>&#\[\]]", lambda match: f"&#{ord(match[0])};", text)


def hardest_images(logits: Tensor, labels: Tensor, class_names: Sequence[str], images: Sequence[Tensor]) -> Figure:
    """A grid of images `[channels, height, width]` of uint8, of one channel or three, each of its own size."""
    names = printable(class_names, 14)
    columns = min(6, len(images))
    width, height = 1.1 * max(columns, 4) + 0.1, 1.42 * -(-len(images) // columns) + 0.35
    with new_figure(1.25 * width, 1.25 * height) as figure:
        # One pair of axes with an image's box as unit: a pair for each image would take seconds to draw.
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
        axes.axis("off")
        axes.text(0.1, 0.16, "Highest loss: true class → predicted class and its probability", fontsize=10, va="center")
        for place, (image, probabilities, label) in enumerate(zip(images, logits.softmax(1), labels.tolist())):
            left, top = 0.1 + 1.1 * (place % columns), 0.68 + 1.42 * (place // columns)
            predicted = int(probabilities.argmax())
            colour = BLUE if predicted == label else ORANGE
            caption = f"{names[label]}\n→ {names[predicted]}  {probabilities[predicted]:.0%}"
            axes.text(left, top - 0.06, caption, color=colour, fontsize=8, va="bottom")
            _place_image(axes, image, left, top)
    return figure


def _place_image(axes: Axes, image: Tensor, left: float, top: float) -> None:
    """Draw the image, its shape kept, in the middle of a box of width and height 1."""
    height, width = (size / max(image.shape[1:]) for size in image.shape[1:])
    left, top = left + (1 - width) / 2, top + (1 - height) / 2
    pixels = image.permute(1, 2, 0).squeeze(-1).numpy()
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, extent=(left, left + width, top + height, top), aspect="auto")
