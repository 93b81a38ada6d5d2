"""What vectors look like: neighbours as a table, frequent words as a map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tenfold.callbacks.figures import BLUE, new_figure, printable
from tenfold.data.text.vectors import WordVectors

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def neighbour_table(vectors: WordVectors, probes: int = 15, count: int = 8) -> str:
    """Markdown: words from frequent to rare, and the words nearest to each by cosine."""
    places = (
        torch.logspace(1, 0, probes)
        .sub(1)
        .div(9)
        .mul(min(len(vectors.words), 3000) - 1)
        .long()
        .flip(0)
        .unique()
        .tolist()
    )
    rows = []
    for place in places:
        word = vectors.words[place]
        near = ", ".join(f"{other} {cosine:.2f}" for other, cosine in vectors.neighbours(word, count))
        rows.append(f"| {word} | {near} |".replace("\\", "\\\\"))
    return "\n".join(["| word | nearest |", "| --- | --- |", *rows])


def principal_plane(matrix: Tensor) -> Tensor:
    """Coordinates on the two directions of largest variance, [words, 2]."""
    centred = matrix - matrix.mean(0)
    left, scale, _ = torch.linalg.svd(centred, full_matrices=False)
    return left[:, :2] * scale[:2]


def word_map(vectors: WordVectors, first: int = 50, words: int = 150) -> Figure:
    """Frequent words (the `first`, mostly function words, left out) on the plane of their largest variance."""
    first = first if len(vectors.words) > first + words else 0
    plane = principal_plane(vectors.unit[first : first + words])
    with new_figure(9, 7) as figure:
        axes = figure.add_subplot()
        x_axis, y_axis = plane.T.numpy()
        axes.scatter(x_axis, y_axis, s=4, color=BLUE)
        for name, (x, y) in zip(printable(vectors.words[first : first + words]), plane.tolist(), strict=True):
            axes.annotate(name, (x, y), fontsize=7, xytext=(2, 2), textcoords="offset points")
        axes.set_title("frequent words, first two principal components of their directions")
    return figure
