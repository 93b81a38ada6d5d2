"""A graph's edges, and the sparse products along them that are worked out once."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from tenfold.data.graphs.sparse import Product, SparseFeatures, compressed, lasting, multiply
from tenfold.nn.precision import widened

#: How the messages that reach a node are weighed: 1 / sqrt(d_i d_j) with the node's own among them, or 1 / d_i.
Weighting = Literal["symmetric", "mean"]


def edge_weights(edge_index: Tensor, num_nodes: int, weighting: Weighting, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The edges `[2, edges]` that a weighting sends messages along, from row 0 to row 1, and their weights `[edges]`.

    symmetric: each node has a loop, and the weights are those of :math:`D^{-1/2} (A + I) D^{-1/2}` (Kipf & Welling,
    2017). mean: no loops; a node without neighbours gets nothing.
    """
    if weighting == "symmetric":
        loops = torch.arange(num_nodes, device=edge_index.device).expand(2, -1)
        edge_index = torch.cat([edge_index, loops], 1)
    source, target = edge_index[0], edge_index[1]
    ones = torch.ones_like(target, dtype=dtype)
    degrees = torch.zeros(num_nodes, dtype=dtype, device=target.device).index_add(0, target, ones)
    if weighting == "mean":
        return edge_index, degrees.clamp(min=1).reciprocal()[target]
    return edge_index, (degrees[source] * degrees[target]).rsqrt()


class Topology:
    """The edges of a graph that stays what it is: each product with its matrix is a sparse one, normalised once.

    A product of the last input is kept while that input comes again, as the nodes' features do in every step.

    edge_index: `[2, edges]`, messages go from row 0 to row 1; an undirected graph has each edge both ways.
    """

    def __init__(self, edge_index: Tensor, num_nodes: int) -> None:
        self.edge_index, self.num_nodes = edge_index, num_nodes
        self._matrices: dict[Any, tuple[Tensor, Tensor]] = {}
        self._last: dict[Weighting, tuple[Tensor, Tensor]] = {}

    def product(self, x: Tensor, weighting: Weighting) -> Tensor:
        """For each node the weighed sum of what its neighbours hold: `[nodes, features]` to the same shape."""
        x = widened(x)
        if x.requires_grad:
            return Product.apply(x, *self._matrix(weighting, x.dtype))  # type: ignore[return-value]
        kept = self._last.get(weighting)
        if kept is None or kept[0] is not x:
            with lasting():
                kept = self._last[weighting] = x, multiply(self._matrix(weighting, x.dtype)[0], x)
        return kept[1]

    def _matrix(self, weighting: Weighting, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The matrix and its transpose, for the way back; one and the same where it is symmetric."""
        key = weighting, dtype
        if key not in self._matrices:
            with lasting():
                edges, weights = edge_weights(self.edge_index, self.num_nodes, weighting, dtype)
                forward = self._compressed(edges.flip(0), weights)
                same = weighting == "symmetric" and self._undirected()
                self._matrices[key] = forward, forward if same else self._compressed(edges, weights)
        return self._matrices[key]

    def _compressed(self, edges: Tensor, weights: Tensor) -> Tensor:
        return compressed(edges[0], edges[1], weights, (self.num_nodes, self.num_nodes))

    def _undirected(self) -> bool:
        source, target = self.edge_index
        forth, back = source * self.num_nodes + target, target * self.num_nodes + source
        return bool(torch.equal(forth.sort().values, back.sort().values))


DENSE = 0.1  # share of features that are not 0 from which on they are multiplied as a dense matrix


class Graph:
    """Features `[nodes, features]` and the edges between the nodes, once on each device and in each type."""

    def __init__(self, features: Tensor, edge_index: Tensor) -> None:
        self.features, self.topology = features, Topology(edge_index, len(features))
        self._copies: dict[Any, Graph] = {}
        self._inputs: Tensor | SparseFeatures | None = None

    @property
    def num_nodes(self) -> int:
        return len(self.features)

    @property
    def inputs(self) -> Tensor | SparseFeatures:
        """The features as a network is fastest with them."""
        if self._inputs is None:
            many = self.features.count_nonzero() > DENSE * self.features.numel()
            self._inputs = self.features if many else SparseFeatures.of(self.features)
        return self._inputs

    def to(self, device: torch.device, dtype: torch.dtype) -> Graph:
        """The graph there, made once: it is the same in every batch."""
        if (self.features.device, self.features.dtype) == (device, dtype):
            return self
        if (device, dtype) not in self._copies:
            with lasting():
                features, edge_index = self.features.to(device, dtype), self.topology.edge_index.to(device)
            self._copies[device, dtype] = Graph(features, edge_index)
        return self._copies[device, dtype]


def undirected(edges: Tensor, num_nodes: int) -> Tensor:
    """Each edge of `[2, edges]` both ways and once, loops left out, in order of the node it reaches."""
    source, target = torch.cat([edges, edges.flip(0)], 1)
    kept = source != target
    codes = (target[kept] * num_nodes + source[kept]).unique()
    return torch.stack([codes % num_nodes, codes // num_nodes])
