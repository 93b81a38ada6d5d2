"""One graph, some of whose nodes have a known class: what its data sets share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tenfold.data.base import DataModule, Split
from tenfold.data.graphs.graph import Graph
from tenfold.data.graphs.spec import NodeSpec
from tenfold.data.labels import check_classes
from tenfold.errors import UserError, check_number


class NodeBatch:
    """The whole graph, with the nodes `[samples]` of the batch and their classes `[samples]`.

    The samples are nodes, and to cut the batch is to share the nodes out: each part sees the whole graph.
    """

    def __init__(self, graph: Graph, nodes: Tensor, labels: Tensor) -> None:
        self.graph, self.nodes, self.labels = graph, nodes, labels

    @property
    def num_samples(self) -> int:
        return len(self.nodes)

    def cut(self, sizes: Sequence[int]) -> list[NodeBatch]:
        stops = list(accumulate(sizes))
        return [
            NodeBatch(self.graph, self.nodes[stop - size : stop], self.labels[stop - size : stop])
            for size, stop in zip(sizes, stops, strict=True)
        ]

    def to(self, where: torch.device | torch.dtype | str, **_: Any) -> NodeBatch:
        """On a device, or with features of another type."""
        features = self.graph.features
        if isinstance(where, torch.dtype):
            return NodeBatch(self.graph.to(features.device, where), self.nodes, self.labels)
        device = self.nodes.to(where).device
        return NodeBatch(self.graph.to(device, features.dtype), self.nodes.to(device), self.labels.to(device))


class NodeSet:
    """The nodes of one split; the graph itself is that of all splits."""

    def __init__(self, graph: Graph, nodes: Tensor, labels: Tensor) -> None:
        self.graph, self.nodes, self.labels = graph, nodes, labels

    def __len__(self) -> int:
        return len(self.nodes)

    def fetch(self, indices: Tensor) -> NodeBatch:
        return NodeBatch(self.graph, self.nodes[indices], self.labels[indices])


class Nodes(DataModule):
    """A graph in memory. Training sees all nodes and edges (it is transductive), but the classes of train nodes only.

    A subclass implements `read()`.
    """

    spec_class = NodeSpec
    spec: NodeSpec
    splits: Mapping[str, NodeSet]

    def read(self) -> tuple[NodeSpec, Graph, Tensor, Mapping[str, Tensor]]:
        """The spec, the graph, each node's class `[nodes]` (-1: unknown), and the nodes of each split."""
        raise NotImplementedError

    def load(self) -> None:
        self.spec, self.graph, labels, parts = self.read()
        check_classes(labels[parts["train"]], self.spec.class_names)
        self.splits = {name: NodeSet(self.graph, nodes, labels[nodes]) for name, nodes in parts.items()}

    def labels(self, split: Split) -> Tensor:
        return self.splits[split].labels

    def baseline(self, split: Split) -> dict[str, float]:
        """Of label propagation, which knows the edges and the train classes, and no features."""
        train, part = self.splits["train"], self.splits[split]
        scores = propagated_labels(self.graph, train.nodes, train.labels, len(self.spec.class_names))
        return {"accuracy": float((scores[part.nodes].argmax(1) == part.labels).double().mean())}

    def example(self, split: Split, index: int) -> str:
        node = int(self.splits[split].nodes[index])
        neighbours = int((self.graph.topology.edge_index[1] == node).sum())
        return f"node {node}, {neighbours} neighbours"


def propagated_labels(
    graph: Graph, nodes: Tensor, labels: Tensor, num_classes: int, alpha: float = 0.9, rounds: int = 50
) -> Tensor:
    r"""Scores `[nodes, classes]` of label propagation, :math:`F \leftarrow \alpha S F + (1 - \alpha) Y` with S the
    normalised adjacency (Zhou et al., 2004): known classes spread along the edges."""
    known = torch.zeros(graph.num_nodes, num_classes).index_copy(0, nodes, F.one_hot(labels, num_classes).float())
    scores = known
    for _ in range(rounds):
        scores = alpha * graph.topology.product(scores, "symmetric") + (1 - alpha) * known
    return scores


def labelled_split(
    labels: Tensor, train_per_class: int, val_per_class: int, seed: int, what: str = "data.train_per_class"
) -> dict[str, Tensor]:
    """So many nodes of each class to train and to choose on, drawn by `seed`; all other labelled nodes to test on."""
    check_number("data.val_per_class", val_per_class, 0)
    generator = torch.Generator().manual_seed(seed)
    parts: dict[str, list[Tensor]] = {"train": [], "val": [], "test": []}
    for label in labels[labels >= 0].unique():
        nodes = (labels == label).nonzero().squeeze(1)
        nodes = nodes[torch.randperm(len(nodes), generator=generator)]
        if len(nodes) <= train_per_class + val_per_class:
            raise UserError(
                f"{what}: {train_per_class} to train and {val_per_class} to choose on leave none of the "
                f"{len(nodes)} nodes of class {int(label)} to test on; expected fewer"
            )
        sizes = [train_per_class, val_per_class, len(nodes) - train_per_class - val_per_class]
        for name, part in zip(parts, nodes.split(sizes), strict=True):
            parts[name].append(part)
    return {name: torch.cat(found).sort().values for name, found in parts.items() if len(torch.cat(found))}
