"""One graph as the only batch, its splits, and the products that are kept."""

from __future__ import annotations

import pytest
import torch

from tenfold.data.graphs.bundled import DigitsGraph, KarateClub, nearest_neighbour_edges
from tenfold.data.graphs.graph import Graph, Topology, edge_weights, undirected
from tenfold.data.graphs.nodes import NodeBatch, labelled_split, propagated_labels
from tenfold.data.graphs.small import Atlas
from tenfold.errors import UserError


@pytest.fixture(scope="module")
def club() -> KarateClub:
    data = KarateClub(batch_size=100)
    data.setup()
    return data


def test_a_batch_holds_no_class_of_another_split(club):
    """Neither in its labels nor in the features: whatever the test classes are, the batch is the same."""
    batch = club.sample("train", 100)
    train, test = club.splits["train"], club.splits["test"]
    assert set(batch.nodes.tolist()) == set(train.nodes.tolist())
    assert not set(batch.nodes.tolist()) & set(test.nodes.tolist())
    assert len(batch.labels) == 4 and torch.equal(batch.graph.features, torch.eye(34))


def test_the_splits_are_disjoint_and_hold_all_nodes(club):
    nodes = torch.cat([club.splits[split].nodes for split in ("train", "val", "test")])
    assert nodes.sort().values.tolist() == list(range(34))


def test_a_split_that_leaves_nothing_to_test_on_is_refused():
    with pytest.raises(UserError, match=r"data.train_per_class: 2 to train and 3 to choose on leave none of the 5"):
        labelled_split(torch.tensor([0] * 5 + [1] * 9), 2, 3, 0)


def test_cutting_shares_the_nodes_out_and_keeps_the_graph(club):
    batch = club.sample("val", 6)
    parts = batch.cut([1, 2, 3])
    assert [part.num_samples for part in parts] == [1, 2, 3]
    assert torch.cat([part.nodes for part in parts]).equal(batch.nodes)
    assert torch.cat([part.labels for part in parts]).equal(batch.labels)
    assert all(part.graph is batch.graph for part in parts)


def test_a_graph_is_moved_once(club):
    first, second = (club.sample("val", 3).to(torch.float64) for _ in range(2))
    assert first.graph is second.graph and first.graph.features.dtype == torch.float64


def test_features_spread_once_as_long_as_they_are_the_same():
    topology = Topology(undirected(torch.tensor([[0, 1], [1, 2]]), 4), 4)
    x = torch.randn(4, 2)
    assert topology.product(x, "mean") is topology.product(x, "mean")
    assert topology.product(x.clone(), "mean") is not topology.product(x, "mean")
    assert torch.equal(topology.product(x + 1, "symmetric"), topology.product(x.clone() + 1, "symmetric"))


def test_what_an_evaluation_has_worked_out_serves_a_training_step():
    """Lightning evaluates in inference mode, whose tensors no gradient may pass."""
    graph = Graph(torch.randn(4, 2), undirected(torch.tensor([[0, 1], [1, 2]]), 4))
    weight = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    with torch.inference_mode():
        moved = graph.to(torch.device("cpu"), torch.float64)
        moved.topology.product(moved.features, "symmetric")
    hidden = moved.topology.product(moved.features, "symmetric") @ weight
    moved.topology.product(hidden, "symmetric").sum().backward()
    assert weight.grad is not None and weight.grad.abs().sum() > 0


@pytest.mark.parametrize("weighting", ["symmetric", "mean"])
def test_the_gradient_of_a_product_along_directed_edges(weighting):
    topology = Topology(torch.tensor([[0, 1, 2, 2], [1, 2, 0, 1]]), 3)
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda value: topology.product(value, weighting), x)


def test_means_weigh_one_in_all_and_symmetric_weights_are_symmetric():
    edges = undirected(torch.randint(9, (2, 15), generator=torch.Generator().manual_seed(0)), 9)
    (_, target), mean = edge_weights(edges, 9, "mean", torch.float64)
    sums = torch.zeros(9, dtype=torch.float64).index_add(0, target, mean)
    assert torch.allclose(sums[target.unique()], torch.ones(1, dtype=torch.float64))
    (source, target), weights = edge_weights(edges, 9, "symmetric", torch.float64)
    matrix = torch.sparse_coo_tensor(torch.stack([target, source]), weights, (9, 9)).to_dense()
    assert torch.equal(matrix, matrix.T) and (matrix.diagonal() > 0).all()


def test_nearest_neighbours_by_brute_force():
    points = torch.randn(15, 3, generator=torch.Generator().manual_seed(0))
    expected = set()
    for i in range(15):
        by_distance = sorted((float((points[i] - points[j]).norm()), j) for j in range(15) if j != i)
        expected |= {pair for _, j in by_distance[:2] for pair in ((i, j), (j, i))}
    assert set(map(tuple, nearest_neighbour_edges(points, 2).T.tolist())) == expected


def test_labels_spread_along_edges_only():
    graph = Graph(torch.zeros(5, 1), undirected(torch.tensor([[0, 2], [1, 3]]), 5))
    scores = propagated_labels(graph, torch.tensor([0, 2]), torch.tensor([0, 1]), 2)
    assert scores[:4].argmax(1).tolist() == [0, 0, 1, 1]
    assert scores[4].tolist() == [0, 0]


def test_the_digits_have_ten_labels_a_class_and_label_propagation_beside():
    data = DigitsGraph(batch_size=1000)
    data.setup()
    assert data.labels("train").bincount().tolist() == [10] * 10
    assert sum(map(len, data.splits.values())) == 1797
    assert data.baseline("test")["accuracy"] > 0.94
    assert isinstance(data.sample("train", 5), NodeBatch)


def test_the_atlas_is_split_by_graph_and_its_mean_explains_nothing():
    data = Atlas(batch_size=64)
    data.setup()
    assert [len(data.splits[split]) for split in ("train", "val", "test")] == [877, 125, 250]
    assert abs(data.baseline("train")["r2"]) < 1e-9
    assert data.baseline("test")["r2"] < 0.01
