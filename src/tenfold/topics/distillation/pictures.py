"""Pictures of a student beside its teacher.

`taught` and `learned` are the probabilities of the teacher and of the student, softened by the temperature, both
`[samples, classes]`; `labels` is `[samples]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tenfold.callbacks.figures import BLUE, GREY, ORANGE, new_figure, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Example = Callable[[int], Tensor | str]


def soft_targets(
    taught: Tensor,
    learned: Tensor,
    labels: Tensor,
    class_names: Sequence[str],
    example: Example,
    most: int = 8,
    classes: int = 10,
) -> Figure:
    """What the teacher makes of the samples that it is least sure of, and the student's answer beside it.

    Above `classes` classes, those to which the teacher gives most. Texts stand as titles, images on the left.
    """
    entropy = -(taught * taught.clamp(min=1e-12).log()).sum(1)
    chosen = entropy.topk(min(most, len(labels))).indices.tolist()
    rows = -(-len(chosen) // 2)
    names = printable(class_names, 12)
    with new_figure(9.0, 0.6 + 1.35 * rows) as figure:
        grid = {"left": 0.02, "right": 0.99, "top": 1 - 0.5 / (0.6 + 1.35 * rows), "bottom": 0.06, "hspace": 0.55}
        cells = figure.subplots(rows, 4, width_ratios=[1, 3, 1, 3], gridspec_kw=grid, squeeze=False).reshape(-1, 2)
        for (left, right), index in zip(cells, chosen, strict=False):
            _show(left, example(index), names[int(labels[index])])
            shown = taught[index].topk(min(classes, len(names))).indices.sort().values
            _bars(right, taught[index, shown], learned[index, shown], [names[i] for i in shown.tolist()])
        for left, right in cells[len(chosen) :]:
            left.axis("off")
            right.axis("off")
        cells[0][1].legend(["teacher", "student"], loc="upper right", ncols=2, fontsize=7)
        figure.suptitle("Soft targets where the teacher is least sure; true class above the sample", fontsize=11)
    return figure


def _show(axes: Axes, sample: Tensor | str, name: str) -> None:
    axes.axis("off")
    if isinstance(sample, str):
        axes.set_title(f"{name}: {printable([sample], 16)[0]}", fontsize=8)
        return
    axes.set_title(name, fontsize=8, pad=2)
    axes.imshow(sample.permute(1, 2, 0).squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=255)


def _bars(axes: Axes, taught: Tensor, learned: Tensor, names: Sequence[str]) -> None:
    places = torch.arange(len(names))
    axes.bar((places - 0.2).numpy(), taught.numpy(), width=0.4, color=BLUE)
    axes.bar((places + 0.2).numpy(), learned.numpy(), width=0.4, color=ORANGE)
    axes.set_xticks(places.numpy(), names, fontsize=7)
    axes.tick_params(length=0, labelsize=7)


def class_means(taught: Tensor, learned: Tensor, labels: Tensor, class_names: Sequence[str]) -> Figure:
    """Mean probability of each class over the samples of each true class, of both; who is right where in the title.

    The true class's own share is left out of the colours: what is learned from a teacher lies in the rest.
    """
    names = printable(class_names, 12)
    small = len(names) <= 25
    with new_figure(9.6, 5.0) as figure:
        pair = figure.subplots(1, 2, sharey=True, gridspec_kw={"left": 0.09, "right": 0.98, "top": 0.8, "wspace": 0.06})
        means = [_means(values, labels) for values in (taught, learned)]
        highest = max(float(mean.clone().fill_diagonal_(0).max()) for mean in means)
        for axes, mean, title in zip(pair, means, ("teacher", "student"), strict=True):
            axes.imshow(mean.clone().fill_diagonal_(0).numpy(), cmap="Blues", vmin=0, vmax=highest or 1)
            axes.set(title=title, xlabel="class given")
            axes.grid(visible=False)
            axes.tick_params(length=0)
            if small:
                axes.set_xticks(range(len(names)), names, fontsize=7, rotation=90)
                axes.set_yticks(range(len(names)), names, fontsize=7)
                _write(axes, mean)
        pair[0].set_ylabel("true class")
        figure.suptitle(_who_is_right(taught, learned, labels), fontsize=11)
    return figure


def _means(values: Tensor, labels: Tensor) -> Tensor:
    """`[true class, class]`, zeros for a class without samples."""
    classes = values.shape[1]
    sums = values.new_zeros(classes, classes).index_add_(0, labels, values)
    return sums / labels.bincount(minlength=classes).clamp(min=1).unsqueeze(1)


def _write(axes: Axes, mean: Tensor) -> None:
    for row, column in (mean >= 0.005).nonzero().tolist():
        text = f"{mean[row, column]:.2f}".lstrip("0")
        axes.text(column, row, text, ha="center", va="center", fontsize=6, color=GREY if row != column else BLUE)


def _who_is_right(taught: Tensor, learned: Tensor, labels: Tensor) -> str:
    teacher, student = (values.argmax(1) == labels for values in (taught, learned))
    counts = [teacher & student, teacher & ~student, ~teacher & student, ~teacher & ~student]
    words = ("both right", "teacher only", "student only", "neither")
    told = ", ".join(f"{word} {int(count.sum())}" for word, count in zip(words, counts, strict=True))
    return f"Mean probabilities of each true class, softened\n{told}"
