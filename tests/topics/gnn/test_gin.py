"""GIN: what it cannot and can tell apart, and that neither order nor company changes an answer."""

from __future__ import annotations

import pytest
import torch

from tenfold.data.graphs.small import padded, triangles
from tenfold.topics.gnn.gin import GIN, GINLayer

RING = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]]), 6
TWO_TRIANGLES = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 0, 4, 5, 3]]), 6
STAR = torch.tensor([[0, 0, 0], [1, 2, 3]]), 4
ALONE = torch.empty(2, 0, dtype=torch.long), 1


def network(rooted: bool = True) -> GIN:
    torch.manual_seed(0)
    return GIN(1, hidden=8, rooted=rooted).double()


def read(net: GIN, *graphs) -> torch.Tensor:
    return net(*(part.double() for part in padded(graphs)))


@pytest.mark.parametrize("rooted", [True, False])
def test_a_batch_of_graphs_gives_each_its_own_answer(rooted):
    """Padding and company change nothing: a batch is as good as a disjoint union."""
    graphs = [ALONE, RING, STAR, TWO_TRIANGLES]
    alone = torch.cat([read(network(rooted), graph) for graph in graphs])
    assert torch.allclose(read(network(rooted), *graphs), alone, rtol=0, atol=1e-12)
    assert len(set(alone.tolist())) >= 3


@pytest.mark.parametrize("rooted", [True, False])
def test_the_order_of_nodes_changes_nothing(rooted):
    features, adjacency = (part.double() for part in padded([STAR, RING]))
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    net = network(rooted)
    moved = net(features[:, order], adjacency[:, order][:, :, order])
    assert torch.allclose(moved, net(features, adjacency), rtol=0, atol=1e-12)


def test_message_passing_takes_two_triangles_for_a_ring_of_six_and_marked_roots_do_not():
    ring, pair = read(network(rooted=False), RING, TWO_TRIANGLES)
    assert abs(ring - pair) < 1e-12
    ring, pair = read(network(rooted=True), RING, TWO_TRIANGLES)
    assert abs(ring - pair) > 1e-4


def test_a_layer_sums_over_neighbours():
    layer = GINLayer(1, 4).double()
    with torch.no_grad():
        layer.epsilon.fill_(0.5)
    features, adjacency = (part.double() for part in padded([STAR]))
    expected = layer.mlp(torch.tensor([[1.5 + 3], [1.5 + 1], [1.5 + 1], [1.5 + 1]], dtype=torch.float64))
    assert torch.allclose(layer(features, adjacency)[0], expected, rtol=0, atol=1e-12)


def test_triangles_are_counted():
    complete = torch.combinations(torch.arange(5)).T, 5
    assert triangles(padded([RING, TWO_TRIANGLES, STAR, complete])[1]).tolist() == [0, 2, 0, 10]
