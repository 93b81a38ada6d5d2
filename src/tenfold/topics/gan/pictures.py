"""Figures of points; the grids of images are the judge's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tenfold.callbacks.figures import BLUE, ORANGE, new_figure
from tenfold.topics.gan.modes import REACH, mode_metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 2500  # points: more would hide one another


def scatter(points: Tensor, centres: Sequence[Sequence[float]], deviation: float) -> Figure:
    """Points `[n, 2]` over circles of three deviations around the centres, and what they come to."""
    from matplotlib.collections import EllipseCollection

    found = mode_metrics(points, torch.tensor(centres), deviation)
    reach = 1.4 * max(abs(value) for centre in centres for value in centre)
    with new_figure(5, 5.3) as figure:
        axes = figure.add_subplot(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        size = 2 * REACH * deviation
        placed: Any = {"units": "xy", "offsets": centres, "offset_transform": axes.transData}
        axes.add_collection(EllipseCollection(size, size, 0, edgecolor=ORANGE, facecolor="none", **placed))
        shown = points[:SHOWN].numpy()
        axes.plot(shown[:, 0], shown[:, 1], ".", color=BLUE, markersize=2, alpha=0.5)
        modes = f"{found['modes']:.0f} of {len(centres)} modes"
        axes.set_title(f"{modes}, {found['good']:.1%} of {len(points)} samples good")
    return figure
