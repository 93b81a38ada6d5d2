"""A training step of two GCN layers on one graph, beside PyTorch Geometric's.

    python tests/benchmarks/gnn_speed.py [nodes [edges]]          or: make bench args=gnn_speed

20,000 nodes, 400,000 undirected edges, 128 features, 64 hidden ones, 10 classes, one thread: forward, cross-entropy on
half of the nodes, backward, and a step of Adam. All have the same weights at the start; that the losses agree is
checked first. The table shows medians of interleaved steps.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.harness import interleaved, table
from tenfold.data.graphs.graph import Topology, undirected
from tenfold.topics.gnn.networks import GCN

FEATURES, HIDDEN, CLASSES, ROUNDS = 128, 64, 10, 5


def main(nodes: int = 20_000, edges: int = 400_000) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, labels = torch.randn(nodes, FEATURES), torch.randint(CLASSES, (nodes,))
    edge_index = undirected(torch.randint(nodes, (2, edges)), nodes)
    ours = GCN(FEATURES, CLASSES, HIDDEN, dropout=0.0)
    topology = Topology(edge_index, nodes)
    steps = {
        "ours, A·X kept": step(ours, lambda: ours(x, topology), labels),
        "ours, A·X anew (dropout of features)": step(ours, lambda: ours(x.clone(), topology), labels),
        "ours, edge_index (as exported)": step(ours, lambda: ours(x, edge_index), labels),
        **peers(ours, x, edge_index, labels),
    }
    first = {name: call(False) for name, call in steps.items()}
    assert max(first.values()) - min(first.values()) < 1e-4, first
    seconds = interleaved(steps, ROUNDS)
    print(f"{nodes:,} nodes, {edge_index.shape[1] // 2:,} edges, torch {torch.__version__}\n")
    print(table(["", "ms a step"], [[name, f"{1000 * value:.0f}"] for name, value in seconds.items()]))


def step(network: nn.Module, forward: Callable[[], Tensor], labels: Tensor) -> Callable[..., float]:
    """One step, or only its loss."""
    half = len(labels) // 2
    optimizer = torch.optim.Adam(network.parameters(), lr=0.0)

    def call(trains: bool = True) -> float:
        optimizer.zero_grad()
        loss = F.cross_entropy(forward()[:half], labels[:half])
        if trains:
            loss.backward()
            optimizer.step()
        return loss.item()

    return call


def peers(ours: GCN, x: Tensor, edge_index: Tensor, labels: Tensor) -> dict[str, Callable[..., float]]:
    try:
        from torch_geometric.nn import GCNConv
    except ImportError:
        print("torch_geometric is not installed: ours alone\n", file=sys.stderr)
        return {}
    steps = {}
    compressed = torch.sparse_coo_tensor(edge_index.flip(0), torch.ones(edge_index.shape[1]), (len(x),) * 2)
    for name, edges in (("edge index", edge_index), ("CSR", compressed.coalesce().to_sparse_csr())):
        for cached in (False, True):
            layers = nn.ModuleList(
                GCNConv(*widths, cached=cached) for widths in ((FEATURES, HIDDEN), (HIDDEN, CLASSES))
            )
            for theirs, own in zip(layers, ours.layers, strict=True):
                theirs.load_state_dict({"lin.weight": own.linear.weight, "bias": own.bias})  # type: ignore[union-attr]

            def forward(layers: nn.ModuleList = layers, edges: Tensor = edges) -> Tensor:
                return layers[1](layers[0](x, edges).relu(), edges)

            steps[f"PyG, {name}{', normalised once' if cached else ''}"] = step(layers, forward, labels)
    return steps


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
