"""Many small graphs with a number each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tenfold.data.base import DataModule, Split
from tenfold.data.graphs.spec import GraphSpec
from tenfold.data.labels import check_fractions
from tenfold.data.loader import Tensors


class GraphBatch(NamedTuple):
    """Graphs side by side, filled up to the largest with nodes that hold nothing and have no edges.

    Dense, since they are small: one matrix product a layer serves all graphs, and a batch is cut like any other.
    """

    features: Tensor  # [batch, nodes, in_features], 0 for padding
    adjacency: Tensor  # [batch, nodes, nodes], symmetric, without loops
    targets: Tensor  # [batch]


def padded(graphs: Sequence[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    """Features `[batch, nodes, 1]`, 1 for each node, and adjacency `[batch, nodes, nodes]` of graphs, each its edges
    `[2, edges]` and its number of nodes."""
    largest = max(size for _, size in graphs)
    features, adjacency = torch.zeros(len(graphs), largest, 1), torch.zeros(len(graphs), largest, largest)
    for row, (edges, size) in enumerate(graphs):
        features[row, :size] = 1
        source, target = edges.long()
        adjacency[row, source, target] = adjacency[row, target, source] = 1
        adjacency[row].fill_diagonal_(0)
    return features, adjacency


class Atlas(DataModule):
    """All 1,252 graphs of one to seven nodes (Read & Wilson, 1998, as networkx carries them) and how many triangles
    each has. No two are alike, so no test graph was seen in training.

    val_fraction, test_fraction: shares of the graphs, drawn by `split_seed`.
    """

    spec_class = GraphSpec
    spec: GraphSpec

    def __init__(self, val_fraction: float = 0.1, test_fraction: float = 0.2, **common: Any) -> None:
        super().__init__(**common)
        check_fractions(val_fraction, test_fraction)
        self.fractions = {"val": val_fraction, "test": test_fraction}

    def load(self) -> None:
        from networkx import graph_atlas_g

        graphs = [graph for graph in graph_atlas_g() if len(graph)]
        edges = [torch.tensor(list(graph.edges), dtype=torch.long).view(-1, 2).T for graph in graphs]
        features, adjacency = padded(list(zip(edges, map(len, graphs), strict=True)))
        targets = triangles(adjacency)
        order = torch.randperm(len(graphs), generator=torch.Generator().manual_seed(self.split_seed))
        sizes = {name: round(fraction * len(graphs)) for name, fraction in self.fractions.items()}
        parts = dict(zip(("train", *sizes), order.split([len(graphs) - sum(sizes.values()), *sizes.values()])))
        mean, std = targets[parts["train"]].mean(), targets[parts["train"]].std(correction=0)
        nodes = features[parts["train"]].sum() / len(parts["train"])
        self.spec = GraphSpec("triangles", float(mean), float(std), mean_nodes=float(nodes))
        self.splits = {
            name: Tensors(GraphBatch(features[rows], adjacency[rows], targets[rows]))
            for name, rows in parts.items()
            if len(rows)
        }

    def baseline(self, split: Split) -> dict[str, float]:
        """Of the mean of the training graphs."""
        dataset: Any = self.splits[split]
        error = dataset.data.targets.double() - self.spec.target_mean
        spread = (dataset.data.targets.double() - dataset.data.targets.double().mean()).square().sum()
        return {"r2": float(1 - error.square().sum() / spread), "mae": float(error.abs().mean())}


def triangles(adjacency: Tensor) -> Tensor:
    """How many of each graph, `[batch]`: the trace of the cubed adjacency counts each six times."""
    return torch.linalg.matrix_power(adjacency, 3).diagonal(dim1=1, dim2=2).sum(1) / 6
