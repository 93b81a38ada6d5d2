"""How much generated texts copy, beside how much unseen ones happen to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tenfold.callbacks.figures import BLUE, ORANGE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def copies(generated: np.ndarray, unseen: np.ndarray) -> Figure:
    """The share of texts whose longest run that stands in a training text too has so many tokens."""
    lengths = np.arange(max(generated.max(), unseen.max()) + 1)
    with new_figure(6.0, 3.6) as figure:
        axes = figure.add_axes((0.11, 0.15, 0.86, 0.73))
        for runs, colour, name in ((unseen, ORANGE, "unseen reviews"), (generated, BLUE, "generated")):
            shares = np.bincount(runs, minlength=len(lengths)) / len(runs)
            label = f"{name}: {runs.mean():.1f} in the mean, {runs.max()} at most"
            axes.step(lengths, shares, where="mid", color=colour, linewidth=1.6, label=label)
        axes.set(xlabel="tokens of the longest run shared with a training text", ylabel="share of texts")
        axes.set_title("Copied from training")
        axes.legend()
    return figure
