"""Pictures of graphs: one with all its nodes, many small ones, and predicted against true numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tenfold.callbacks.figures import BLUE, GREY, ORANGE, new_figure, printable

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

SPRINGS = 200  # nodes up to which a layout by springs is quick enough
EDGES = 4000  # drawn at most


def drawn_graph(edge_index: Tensor, logits: Tensor, wrong: Tensor, class_names: Sequence[str]) -> Figure:
    """Every node in the colour of its predicted class, the mistakes ringed.

    A small graph is laid out by its edges; a large one by the two principal components of the nodes' logits
    `[nodes, classes]`, in which what the network takes for alike lies together.
    """
    small = len(logits) <= SPRINGS
    places = _by_springs(edge_index, len(logits)) if small else _principal(logits)
    with new_figure(7.5, 6) as figure:
        axes = figure.add_subplot()
        _draw_edges(axes, places, edge_index)
        predicted = logits.argmax(1).numpy()
        size = 90 if small else 9
        for label, name in enumerate(printable(class_names)):
            rows = predicted == label
            axes.scatter(
                places[rows, 0], places[rows, 1], s=size, label=name, color=f"C{label % 10}", zorder=2, linewidths=0
            )
        ringed = places[wrong.numpy()]
        axes.scatter(
            ringed[:, 0], ringed[:, 1], s=size * 2.2, facecolors="none", edgecolors="black", linewidths=0.8, zorder=3
        )
        axes.set_title(f"{len(logits):,} nodes by predicted class; {len(wrong)} mistakes ringed")
        axes.set_axis_off()
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        figure.tight_layout()
    return figure


def _by_springs(edge_index: Tensor, num_nodes: int) -> np.ndarray:
    import networkx as nx
    import numpy as np

    graph = nx.Graph(edge_index.T.tolist())
    graph.add_nodes_from(range(num_nodes))
    places = nx.spring_layout(graph, seed=0)
    return np.array([places[node] for node in range(num_nodes)])


def _principal(logits: Tensor) -> np.ndarray:
    centred = logits.double() - logits.double().mean(0)
    directions = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -2:]
    return (centred @ directions).numpy()


def _draw_edges(axes: Any, places: np.ndarray, edge_index: Tensor) -> None:
    from matplotlib.collections import LineCollection

    edges = edge_index[:, edge_index[0] < edge_index[1]]
    step = -(-edges.shape[1] // EDGES) or 1
    axes.add_collection(LineCollection(places[edges[:, ::step].T.numpy()], colors=GREY, linewidths=0.3, alpha=0.5))


def scatter(found: Tensor, true: Tensor, name: str) -> Figure:
    """Predicted against true numbers, both `[graphs]`."""
    with new_figure(5, 5) as figure:
        axes = figure.add_subplot()
        limits = [float(min(found.min(), true.min())) - 1, float(max(found.max(), true.max())) + 1]
        axes.plot(limits, limits, color=GREY, linewidth=1)
        axes.scatter(true.numpy(), found.numpy(), s=12, alpha=0.5, color=BLUE, linewidths=0)
        axes.set(xlabel=f"{name}, true", ylabel=f"{name}, predicted", xlim=limits, ylim=limits)
        axes.set_title(f"{len(true)} graphs")
        figure.tight_layout()
    return figure


def worst_graphs(features: Tensor, adjacency: Tensor, found: Tensor, true: Tensor, count: int = 8) -> Figure:
    """The graphs with the largest errors: features `[graphs, nodes, 1]`, adjacency `[graphs, nodes, nodes]`."""
    import networkx as nx

    worst = (found - true).abs().argsort(descending=True)[:count].tolist()
    with new_figure(8, 4.4) as figure:
        for place, index in enumerate(worst):
            axes = figure.add_subplot(2, -(-count // 2), place + 1)
            size = int((features[index] != 0).any(1).sum())
            graph = nx.from_numpy_array(adjacency[index, :size, :size].numpy())
            nx.draw(graph, nx.circular_layout(graph), ax=axes, node_size=40, node_color=ORANGE, edge_color=GREY)
            axes.set_title(f"{true[index]:g}, predicted {found[index]:.1f}", fontsize=9)
        figure.tight_layout()
    return figure
