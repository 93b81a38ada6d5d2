"""What the study shows: a table, distances over steps, and costs against the size of the micro-batch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tenfold.callbacks.figures import BLUE, GREY, INK, ORANGE, new_figure
from tenfold.topics.gradient_accumulation.copies import VARIANTS, Copy
from tenfold.topics.gradient_accumulation.history import WHOLE, History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREEN = "#3a8f5c"
COLOURS = {"micro": BLUE, "mean_of_means": ORANGE, "whole_statistics": INK, "whole_gradient": GREEN}


def table(history: History, distances: Mapping[str, float], losses: Mapping[str, float]) -> str:
    """One row a copy, in markdown; times also as a multiple of the whole batch's."""
    costs = {name: history.costs(name) for name in (WHOLE, *distances)}
    rows = [
        ["trained on", "distance of weights", "loss", "ms per step", "time", "activations, MiB"],
        ["---"] + 5 * ["---:"],
    ]
    if history.cuda:
        rows = [rows[0] + ["GPU memory, MiB"], rows[1] + ["---:"]]
    for name, cost in costs.items():
        time = cost.get("milliseconds", math.nan)
        ratio = time / costs[WHOLE].get("milliseconds", math.nan)
        row = [name, f"{distances.get(name, 0.0):.1e}", f"{losses.get(name, math.nan):.4f}", f"{time:.1f}"]
        row += [f"× {ratio:.2f}", f"{cost.get('activations_mib', math.nan):.2f}"]
        rows.append(row + ([f"{cost.get('cuda_mib', math.nan):.1f}"] if history.cuda else []))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def distances_over_steps(history: History, copies: Sequence[Copy]) -> Figure:
    """Relative distance of the weights from the reference's, on a logarithmic scale."""
    with new_figure(7.5, 4.2) as figure:
        axes = figure.add_axes((0.1, 0.12, 0.62, 0.8))
        for copy in copies:
            shade = 0.35 + 0.65 * _rank(copy, copies)
            # On this scale there is no place for 0, which a copy has before it leaves the reference.
            values = [value or math.nan for value in history.distances[copy.name]]
            style: dict[str, Any] = {"color": COLOURS[copy.variant], "alpha": shade, "label": copy.name}
            axes.plot(history.steps, values, marker=".", linewidth=1.4, **style)
        if any(any(values) for values in history.distances.values()):
            axes.set_yscale("log")
        axes.set(xlabel="optimizer step", ylabel="relative distance of the weights")
        axes.set_title("How far from training on whole batches")
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def _rank(copy: Copy, copies: Sequence[Copy]) -> float:
    """0 to 1: the place of the copy's micro-batch size among those of its variant."""
    sizes = sorted(other.micro_batch_size for other in copies if other.variant == copy.variant)
    return sizes.index(copy.micro_batch_size) / max(1, len(sizes) - 1)


def costs(history: History, copies: Sequence[Copy]) -> Figure:
    """Memory and time of a step against the size of the micro-batch, the whole batch's as a line."""
    with new_figure(8.5, 3.8) as figure:
        grid = {"left": 0.08, "right": 0.97, "top": 0.9, "bottom": 0.26, "wspace": 0.25}
        left, right = figure.subplots(1, 2, gridspec_kw=grid)
        _cost(left, history, copies, "activations_mib", "Activations at the peak, MiB")
        _cost(right, history, copies, "milliseconds", "Time of an optimizer step, ms")
        figure.legend(*left.get_legend_handles_labels(), loc="lower center", ncols=4)
    return figure


def _cost(axes: Axes, history: History, copies: Sequence[Copy], kind: str, title: str) -> None:
    if kind not in history.costs(WHOLE):  # of a single step, only the memory was taken
        axes.set_title(f"{title}: not measured")
        return
    sizes = sorted({copy.micro_batch_size for copy in copies})
    for variant in VARIANTS:
        drawn = sorted((c.micro_batch_size, history.costs(c.name)[kind]) for c in copies if c.variant == variant)
        if drawn:
            axes.plot(*zip(*drawn), "o-", color=COLOURS[variant], linewidth=1.4, markersize=4, label=variant)
    axes.axhline(history.costs(WHOLE)[kind], color=GREY, linestyle="--", linewidth=1.2, label="whole batch")
    axes.set(xscale="log", yscale="log", xlabel="micro-batch size, samples", title=title)
    axes.set_xticks(sizes, map(str, sizes))
    axes.set_xticks([], minor=True)
