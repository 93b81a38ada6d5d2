"""Graph neural networks for nodes: GCN, GAT and GraphSAGE.

`x` is `[nodes, features]`, a tensor or sparse; `edges` is `[2, edges]`, messages going from row 0 to row 1, or a
`Topology`, which holds the same and multiplies faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.data.graphs.graph import Topology, Weighting, edge_weights
from tenfold.data.graphs.sparse import SparseFeatures
from tenfold.errors import UserError, check_number
from tenfold.nn.precision import widened

Features = Tensor | SparseFeatures
Edges = Tensor | Topology


def aggregate(x: Tensor, edges: Edges, weighting: Weighting) -> Tensor:
    """For each node the weighed sum of its neighbours' rows, `[nodes, features]`."""
    if isinstance(edges, Topology):
        return edges.product(x, weighting)
    edge_index, weights = edge_weights(edges, x.shape[0], weighting, x.dtype)
    return torch.zeros_like(x).index_add(0, edge_index[1], x[edge_index[0]] * weights.unsqueeze(1))


def mapped(linear: nn.Linear, x: Features) -> Tensor:
    """The linear map of x, sparse or not."""
    if isinstance(x, Tensor):
        return linear(x)
    product = x @ linear.weight.T
    return product if linear.bias is None else product + linear.bias


class GCNLayer(nn.Module):
    r""":math:`\hat A X W + b` with :math:`\hat A = D^{-1/2} (A + I) D^{-1/2}` (Kipf & Welling, 2017, arXiv 1609.02907).

    spreads_first: whether X is spread along the edges before it meets W. For the nodes' own features that product is
        the same in every step, and kept; for hidden states the narrower of the two is spread.
    """

    def __init__(self, in_features: int, out_features: int, spreads_first: bool) -> None:
        super().__init__()
        self.spreads_first = spreads_first
        self.linear = nn.Linear(in_features, out_features, bias=False)
        self.bias = nn.Parameter(torch.zeros(out_features))
        nn.init.xavier_uniform_(self.linear.weight)

    def forward(self, x: Features, edges: Edges) -> Tensor:
        if self.spreads_first and isinstance(x, Tensor):
            return self.linear(aggregate(x, edges, "symmetric")) + self.bias
        return aggregate(mapped(self.linear, x), edges, "symmetric") + self.bias


class SAGELayer(nn.Module):
    r""":math:`W_1 x_i + W_2 \, \text{mean}_{j \in N(i)} x_j + b` (Hamilton et al., 2017, arXiv 1706.02216)."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.own, self.neighbours = (nn.Linear(in_features, out_features, bias=own) for own in (True, False))

    def forward(self, x: Features, edges: Edges) -> Tensor:
        if isinstance(x, Tensor):
            return self.own(x) + self.neighbours(aggregate(x, edges, "mean"))
        return mapped(self.own, x) + aggregate(mapped(self.neighbours, x), edges, "mean")


class GATLayer(nn.Module):
    r""":math:`\sum_{j \in N(i) \cup \{i\}} \alpha_{ij} W x_j + b`, with :math:`\alpha_{ij}` the softmax over j of
    :math:`\text{LeakyReLU}(a^T W x_i + c^T W x_j)` (Veličković et al., 2018, arXiv 1710.10903).

    heads: attentions side by side, their outputs joined, `[nodes, heads * out_features]`, or averaged.
    dropout: of attention weights.
    """

    def __init__(
        self, in_features: int, out_features: int, heads: int, joined: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.heads, self.joined, self.dropout = heads, joined, dropout
        self.linear = nn.Linear(in_features, heads * out_features, bias=False)
        self.to_target, self.to_source = (nn.Parameter(torch.empty(1, heads, out_features)) for _ in range(2))
        self.bias = nn.Parameter(torch.zeros(heads * out_features if joined else out_features))
        for weight in (self.linear.weight, self.to_target, self.to_source):
            nn.init.xavier_uniform_(weight)

    def forward(self, x: Features, edges: Edges) -> Tensor:
        edge_index = edges.edge_index if isinstance(edges, Topology) else edges
        loops = torch.arange(x.shape[0], device=edge_index.device).expand(2, -1)
        source, target = torch.cat([edge_index, loops], 1)
        values = mapped(self.linear, x).unflatten(1, (self.heads, -1))
        weights = F.dropout(self.attention(values, source, target), self.dropout, self.training)
        messages = values[source] * weights.unsqueeze(2).to(values.dtype)
        mixed = torch.zeros_like(values).index_add(0, target, messages)
        return (mixed.flatten(1) if self.joined else mixed.mean(1)) + self.bias

    def attention(self, values: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """The share of each edge `[edges, heads]` among those that reach its node, of values `[nodes, heads, width]`.

        In float32 at least. A node's largest logit is taken off first, so that no exponential overflows.
        """
        values = widened(values)
        of_target, of_source = ((values * weight).sum(2) for weight in (self.to_target, self.to_source))
        logits = F.leaky_relu(of_target[target] + of_source[source], 0.2)
        index = target.unsqueeze(1).expand_as(logits)
        largest = torch.full_like(of_target, -torch.inf).scatter_reduce(0, index, logits.detach(), "amax")
        shares = (logits - largest[target]).exp()
        return shares / torch.zeros_like(of_target).index_add(0, target, shares)[target]


class NodeNetwork(nn.Module):
    """Layers with an activation and dropout between them; x `[nodes, in_features]` to logits `[nodes, num_classes]`.

    input_dropout: of the nodes' features. Without it the first layer's product along the edges is the same in every
    step.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        dropout: float = 0.5,
        input_dropout: float = 0.0,
        activation: Callable[[Tensor], Tensor] = F.relu,
    ) -> None:
        super().__init__()
        for name, share in (("dropout", dropout), ("input_dropout", input_dropout)):
            check_number(f"model.network.{name}", share, 0, 1)
        self.layers = nn.ModuleList(layers)
        self.dropout, self.input_dropout, self.activation = dropout, input_dropout, activation

    def forward(self, x: Features, edges: Edges) -> Tensor:
        if self.training and self.input_dropout:
            x = F.dropout(x, self.input_dropout) if isinstance(x, Tensor) else x.dropped(self.input_dropout)
        hidden = self.layers[0](x, edges)
        for layer in self.layers[1:]:
            hidden = layer(F.dropout(self.activation(hidden), self.dropout, self.training), edges)
        return hidden


class GCN(NodeNetwork):
    """`num_layers` of `GCNLayer`, with `hidden` features between them."""

    def __init__(
        self, in_features: int, num_classes: int, hidden: int = 64, num_layers: int = 2, **dropouts: Any
    ) -> None:
        widths = _widths(in_features, hidden, num_layers, num_classes)
        kept = not dropouts.get("input_dropout")  # the features' product along the edges, from step to step
        layers = [
            GCNLayer(*pair, spreads_first=(index == 0 and kept) or pair[0] <= pair[1])
            for index, pair in enumerate(pairwise(widths))
        ]
        super().__init__(layers, **dropouts)


class GraphSAGE(NodeNetwork):
    """`num_layers` of `SAGELayer`, with `hidden` features between them."""

    def __init__(
        self, in_features: int, num_classes: int, hidden: int = 64, num_layers: int = 2, **dropouts: Any
    ) -> None:
        layers = [SAGELayer(*pair) for pair in pairwise(_widths(in_features, hidden, num_layers, num_classes))]
        super().__init__(layers, **dropouts)


class GAT(NodeNetwork):
    """`num_layers` of `GATLayer` with `heads` of `hidden` features each, joined; the last one's are averaged."""

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        hidden: int = 8,
        heads: int = 8,
        num_layers: int = 2,
        attention_dropout: float = 0.5,
        **dropouts: Any,
    ) -> None:
        widths = _widths(in_features, heads * hidden, num_layers, num_classes)
        inner = [GATLayer(width, hidden, heads, dropout=attention_dropout) for width in widths[:-2]]
        last = GATLayer(widths[-2], num_classes, heads, joined=False, dropout=attention_dropout)
        super().__init__([*inner, last], activation=F.elu, **dropouts)


def _widths(in_features: int, hidden: int, num_layers: int, num_classes: int) -> list[int]:
    for name, value in (("hidden", hidden), ("num_layers", num_layers)):
        if value < 1:
            raise UserError(f"model.network.{name}: found {value}, expected at least 1")
    return [in_features, *[hidden] * (num_layers - 1), num_classes]
