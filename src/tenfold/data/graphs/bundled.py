"""Graphs that installed packages carry, or that are made of what they carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tenfold.data.graphs.graph import Graph, undirected
from tenfold.data.graphs.nodes import Nodes, labelled_split
from tenfold.data.graphs.spec import NodeSpec
from tenfold.errors import UserError


class DigitsGraph(Nodes):
    """scikit-learn's 1,797 digits of 8 x 8 pixels, each joined with those that look most alike.

    The graph is made of all images, those of the test split too, as unlabelled data would be; of their classes it knows
    nothing.

    num_neighbours: nearest images, by Euclidean distance, that each is joined with.
    train_per_class, val_per_class: labelled digits of each class; all others are the test split.
    """

    def __init__(
        self, num_neighbours: int = 8, train_per_class: int = 10, val_per_class: int = 20, **common: Any
    ) -> None:
        super().__init__(**common)
        for name, value in (("num_neighbours", num_neighbours), ("train_per_class", train_per_class)):
            if value < 1:
                raise UserError(f"data.{name}: found {value}, expected at least 1")
        self.num_neighbours, self.train_per_class, self.val_per_class = num_neighbours, train_per_class, val_per_class

    def read(self) -> tuple[NodeSpec, Graph, Tensor, Mapping[str, Tensor]]:
        from sklearn.datasets import load_digits

        digits = load_digits()
        spec = NodeSpec(digits.data.shape[1], tuple(map(str, range(10))), scale=1 / 16)  # ink from 0 to 1
        features = spec.prepare(torch.tensor(digits.data, dtype=torch.float32))
        labels = torch.tensor(digits.target, dtype=torch.long)
        graph = Graph(features, nearest_neighbour_edges(features, self.num_neighbours))
        parts = labelled_split(labels, self.train_per_class, self.val_per_class, self.split_seed)
        return spec, graph, labels, parts


class KarateClub(Nodes):
    """Zachary's karate club (1977): 34 members, who met whom, and which side each took when the club split.

    A member's features are its own name only (the identity matrix): all that can be learned is in the edges.

    train_per_class, val_per_class: members of each side whose side is known; all others are the test split.
    """

    def __init__(self, train_per_class: int = 2, val_per_class: int = 3, **common: Any) -> None:
        super().__init__(**common)
        if train_per_class < 1:
            raise UserError(f"data.train_per_class: found {train_per_class}, expected at least 1")
        self.train_per_class, self.val_per_class = train_per_class, val_per_class

    def read(self) -> tuple[NodeSpec, Graph, Tensor, Mapping[str, Tensor]]:
        from networkx import karate_club_graph

        club = karate_club_graph()
        sides = ("Mr. Hi", "Officer")
        labels = torch.tensor([sides.index(club.nodes[node]["club"]) for node in club])
        edges = undirected(torch.tensor(list(club.edges)).T, len(club))
        parts = labelled_split(labels, self.train_per_class, self.val_per_class, self.split_seed)
        return NodeSpec(len(club), sides), Graph(torch.eye(len(club)), edges), labels, parts


def nearest_neighbour_edges(features: Tensor, num_neighbours: int) -> Tensor:
    """Each row joined with its nearest others, by Euclidean distance; edges `[2, edges]`, both ways."""
    distances = torch.cdist(features, features).fill_diagonal_(torch.inf)
    nearest = distances.topk(min(num_neighbours, len(features) - 1), largest=False).indices
    source = torch.arange(len(features)).unsqueeze(1).expand_as(nearest)
    return undirected(torch.stack([source.flatten(), nearest.flatten()]), len(features))
