"""Node networks against the formulas of their papers, in float64."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tenfold.data.graphs.graph import Topology, undirected
from tenfold.data.graphs.sparse import SparseFeatures
from tenfold.errors import UserError
from tenfold.topics.gnn.networks import GAT, GCN, GATLayer, GCNLayer, GraphSAGE, SAGELayer

NODES = 12  # the last of which has no neighbours
MAKE = {
    "gcn": lambda: GCN(5, 3, hidden=8),
    "sage": lambda: GraphSAGE(5, 3, hidden=8),
    "gat": lambda: GAT(5, 3, hidden=4, heads=2),
}


@pytest.fixture
def edges() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return undirected(torch.randint(NODES - 1, (2, 20), generator=generator), NODES)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(NODES, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def dense(edges: torch.Tensor) -> torch.Tensor:
    """`[target, source]`."""
    adjacency = torch.zeros(NODES, NODES, dtype=torch.float64)
    adjacency[edges[1], edges[0]] = 1
    return adjacency


@pytest.mark.parametrize("spreads_first", [True, False])
@pytest.mark.parametrize("kept", [True, False])
def test_a_gcn_layer_is_the_normalised_adjacency_with_loops(x, edges, spreads_first, kept):
    layer = GCNLayer(5, 4, spreads_first).double()
    with_loops = dense(edges) + torch.eye(NODES)
    root = with_loops.sum(1).rsqrt().diag()
    expected = root @ with_loops @ root @ x @ layer.linear.weight.T + layer.bias
    assert torch.allclose(layer(x, Topology(edges, NODES) if kept else edges), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kept", [True, False])
def test_a_sage_layer_takes_the_mean_of_the_neighbours(x, edges, kept):
    layer = SAGELayer(5, 4).double()
    found = layer(x, Topology(edges, NODES) if kept else edges)
    for node in range(NODES):
        neighbours = edges[0, edges[1] == node]
        mean = x[neighbours].mean(0) if len(neighbours) else torch.zeros(5, dtype=torch.float64)
        assert torch.allclose(found[node], layer.own(x[node]) + layer.neighbours(mean), rtol=0, atol=1e-12)


def test_a_gat_layer_is_a_softmax_over_neighbours_and_the_node_itself(x, edges):
    layer = GATLayer(5, 4, heads=3).double()
    values = layer.linear(x).view(NODES, 3, 4)
    joined = []
    for head in range(3):
        of_target, of_source = (values[:, head] @ w[0, head] for w in (layer.to_target, layer.to_source))
        logits = F.leaky_relu(of_target[:, None] + of_source[None, :], 0.2)
        allowed = (dense(edges) + torch.eye(NODES)) > 0
        joined.append(logits.masked_fill(~allowed, -torch.inf).softmax(1) @ values[:, head])
    assert torch.allclose(layer(x, edges), torch.cat(joined, 1) + layer.bias, rtol=0, atol=1e-12)


def test_the_attention_that_reaches_a_node_sums_to_one_however_large_the_logits(x, edges):
    layer = GATLayer(5, 4, heads=3).double()
    loops = torch.arange(NODES).expand(2, -1)
    source, target = torch.cat([edges, loops], 1)
    shares = layer.attention(1e4 * layer.linear(x).view(NODES, 3, 4), source, target)
    sums = torch.zeros(NODES, 3, dtype=torch.float64).index_add(0, target, shares)
    assert torch.allclose(sums, torch.ones_like(sums), rtol=0, atol=1e-12)


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_nodes_in_another_order_have_the_same_answers(x, edges, make):
    network = make().double().eval()
    order = torch.randperm(NODES, generator=torch.Generator().manual_seed(2))
    place = order.argsort()  # where each node has gone
    assert torch.allclose(network(x[order], place[edges]), network(x, edges)[order], rtol=0, atol=1e-12)


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_edges_and_their_topology_give_one_answer_and_one_gradient(x, edges, make):
    network = make().double().eval()
    gradients = []
    for kind in (edges, Topology(edges, NODES)):
        network.zero_grad()
        network(x, kind).square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    assert torch.linalg.vector_norm(gradients[0]) > 0
    assert torch.allclose(*gradients, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_sparse_features_give_the_answer_and_the_gradient_of_dense_ones(x, edges, make):
    network, x = make().double().eval(), x * (x > 0.3)
    gradients, answers = [], []
    for kind in (x, SparseFeatures.of(x)):
        network.zero_grad()
        answers.append(network(kind, Topology(edges, NODES)))
        answers[-1].square().sum().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    assert torch.allclose(*answers, rtol=0, atol=1e-12)
    assert torch.allclose(*gradients, rtol=1e-10, atol=1e-12)


def test_dropout_of_sparse_features_leaves_out_some_and_scales_the_others(x):
    torch.manual_seed(0)
    sparse = SparseFeatures.of(x * (x > 0))
    dropped = sparse.dropped(0.25)
    before, after = sparse.forward.to_dense(), dropped.forward.to_dense()
    kept = after != 0
    assert 0 < kept.sum() < (before != 0).sum()
    assert torch.allclose(after[kept], before[kept] / 0.75)
    assert torch.equal(dropped.backward.to_dense(), after.T)


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_half_precision_comes_near(x, edges, make):
    network, x = make().eval(), (x * (x > 0.3)).float()
    expected = network(x, Topology(edges, NODES))
    for kind in (x, SparseFeatures.of(x)):
        with torch.autocast("cpu", torch.bfloat16):
            found = network(kind, Topology(edges, NODES))
        found.square().sum().backward()
        assert torch.allclose(found.float(), expected, atol=0.05)


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_a_node_sees_as_many_steps_as_there_are_layers(make):
    """On a path, two layers reach the second neighbour and not the third; a node without neighbours is no trouble."""
    network = make().double().eval()
    path = undirected(torch.tensor([[0, 1, 2], [1, 2, 3]]), 5)
    x = torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[3] += 1
    difference = (network(changed, path) - network(x, path)).abs().amax(1)
    assert difference[0] == 0 and difference[4] == 0
    assert (difference[1:4] > 1e-6).all()


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_a_graph_without_edges_has_answers(make):
    network = make().eval()
    assert network(torch.ones(3, 5), torch.empty(2, 0, dtype=torch.long)).isfinite().all()
    assert network(torch.ones(3, 5), Topology(torch.empty(2, 0, dtype=torch.long), 3)).isfinite().all()


def test_a_network_without_layers_is_refused():
    with pytest.raises(UserError, match=r"model.network.num_layers: found 0, expected at least 1"):
        GCN(5, 3, num_layers=0)
