"""The graph isomorphism network, for a number of each small graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tenfold.errors import UserError


class GINLayer(nn.Module):
    r""":math:`\text{MLP}\left((1 + \epsilon) h_i + \sum_{j \in N(i)} h_j\right)` (Xu et al., 2019, arXiv 1810.00826):
    a sum, since a mean or a maximum cannot tell how many neighbours there are."""

    def __init__(self, in_features: int, hidden: int) -> None:
        super().__init__()
        self.epsilon = nn.Parameter(torch.zeros(1))
        self.mlp = nn.Sequential(nn.Linear(in_features, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU())

    def forward(self, h: Tensor, adjacency: Tensor) -> Tensor:
        """`[batch, nodes, ..., in_features]` and `[batch, nodes, nodes]` to `[batch, nodes, ..., hidden]`."""
        return self.mlp((1 + self.epsilon) * h + (adjacency @ h.flatten(2)).view_as(h))


class GIN(nn.Module):
    r"""A number of each graph from sums over its nodes: features `[batch, nodes, in_features]` (0 for padding) and
    adjacency `[batch, nodes, nodes]` to `[batch]`.

    What message passing sees of a graph without features is bounded by the Weisfeiler-Leman test: it cannot tell two
    triangles from a ring of six. With `rooted`, the graph is therefore read once from each node r, which is marked, and
    the readings are summed (identity-aware, You et al., 2021, arXiv 2101.10320): a message that comes back to the mark
    has closed a cycle.

    The reading from r is :math:`\text{MLP}(h_r \| \sum_i h_i / \bar n)`, with h all layers' states side by side.

    mean_nodes: :math:`\bar n`, nodes of a training graph; a sum over it grows with a graph and stays near 1.
    """

    def __init__(
        self, in_features: int, mean_nodes: float = 1.0, hidden: int = 32, num_layers: int = 3, rooted: bool = True
    ) -> None:
        super().__init__()
        for name, value in (("hidden", hidden), ("num_layers", num_layers)):
            if value < 1:
                raise UserError(f"model.network.{name}: found {value}, expected at least 1")
        self.rooted, self.mean_nodes = rooted, mean_nodes
        widths = [in_features + rooted, *[hidden] * num_layers]
        self.layers = nn.ModuleList(GINLayer(width, hidden) for width in widths[:-1])
        self.readout = nn.Sequential(
            nn.Linear((1 + rooted) * hidden * num_layers, hidden), nn.GELU(), nn.Linear(hidden, 1)
        )

    def forward(self, features: Tensor, adjacency: Tensor) -> Tensor:
        inside = features.abs().amax(2, keepdim=True).gt(0).to(features.dtype)  # [batch, nodes, 1]
        if not self.rooted:
            return self.readout(self._states(features, adjacency, inside).sum(1) / self.mean_nodes).squeeze(1)
        nodes = features.shape[1]
        mark = torch.eye(nodes, dtype=features.dtype, device=features.device).expand(features.shape[0], -1, -1)
        seen = features.unsqueeze(2).expand(-1, -1, nodes, -1)  # [batch, nodes, roots, in_features]
        states = self._states(torch.cat([seen, mark.unsqueeze(3)], 3), adjacency, inside.unsqueeze(2))
        of_root = (states * mark.unsqueeze(3)).sum(1)  # [batch, roots, layers * hidden]
        readings = self.readout(torch.cat([of_root, states.sum(1) / self.mean_nodes], 2))
        return (readings * inside).sum(1).squeeze(1) / self.mean_nodes

    def _states(self, h: Tensor, adjacency: Tensor, inside: Tensor) -> Tensor:
        """All layers' states side by side, `[batch, nodes, ..., layers * hidden]`, 0 for padding."""
        states = []
        for layer in self.layers:
            h = layer(h, adjacency) * inside
            states.append(h)
        return torch.cat(states, -1)
