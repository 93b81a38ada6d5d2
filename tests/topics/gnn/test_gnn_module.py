"""Recipes of the topic: what they answer, what a batch may know, and what a person is told."""

from __future__ import annotations

import pytest
import torch
from matplotlib.collections import PathCollection

from tenfold.commands.predict import run as predict
from tenfold.commands.train import run as train
from tenfold.config.compose import compose
from tenfold.data.graphs.bundled import KarateClub
from tenfold.data.graphs.spec import NodeSpec
from tenfold.engine import runs
from tenfold.engine.export import export_torch
from tenfold.errors import UserError
from tenfold.topics.gnn.module import NodeClassifier
from tenfold.topics.gnn.networks import GAT, GCN, GraphSAGE
from tenfold.topics.gnn.pictures import drawn_graph

SHORT = ["threads=1", "trainer.accelerator=cpu", "callbacks.progress=null", "+trainer.enable_progress_bar=false"]
SHORT += ["logger=none", "callbacks.pictures=null"]


def trained(folder, *overrides: str):
    assert train(compose("train", [f"folder={folder / 'run'}", *SHORT, *overrides])) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def club() -> KarateClub:
    data = KarateClub(batch_size=100)
    data.setup()
    return data


def test_the_loss_is_of_the_batch_nodes_and_blind_to_all_other_classes(club):
    torch.manual_seed(0)
    module = NodeClassifier(club.spec, GCN(34, 2, hidden=4)).double().eval()
    batch = club.sample("train", 100).to(torch.float64)
    logits = module.network(batch.graph.features, batch.graph.topology.edge_index)
    expected = torch.nn.functional.cross_entropy(logits[batch.nodes], batch.labels, reduction="sum")
    assert torch.allclose(module.losses(batch)["cross_entropy"], expected, rtol=0, atol=1e-12)
    assert float(module.weights(batch)["cross_entropy"]) == len(batch.nodes) == 4


@pytest.mark.parametrize("make", [GCN, GAT, GraphSAGE])
def test_every_network_exports_for_any_graph(make, tmp_path):
    module = NodeClassifier(NodeSpec(5, ("a", "b", "c")), make(5, 3, hidden=4))
    module.config = {"recipe": "gnn/test"}
    assert export_torch(module, tmp_path / "network") <= 1e-3
    program = torch.export.load(tmp_path / "network").module()
    x, edges = torch.randn(9, 5), torch.tensor([[0, 1, 8], [1, 0, 2]])
    assert torch.allclose(program(x, edges), module.network(x, edges), atol=1e-5)


def test_the_club_is_predicted_from_tables(tmp_path, capsys):
    run = trained(tmp_path, "experiment=gnn/karate", "model=gnn/sage", "trainer.max_epochs=2")
    header = ["id", *(f"member{i}" for i in range(34))]
    rows = [[f"m{i}", *("1" if i == j else "0" for j in range(34))] for i in range(34)]
    (tmp_path / "nodes.csv").write_text("\n".join(map(",".join, [header, *rows])) + "\n")
    (tmp_path / "edges.csv").write_text("a,b\nm0,m1\nm33,m32\n")
    capsys.readouterr()
    asked = [f"run={run}", f"input=[{tmp_path}/nodes.csv,{tmp_path}/edges.csv]", "accelerator=cpu"]
    assert predict(compose("predict", asked)) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 34 and '"input": "m0"' in lines[0] and "Mr. Hi" in lines[0]
    (tmp_path / "edges.csv").write_text("a,b\nm0,m99\n")
    with pytest.raises(UserError, match=r"edges.csv, line 2: there is no node 'm99'; did you mean 'm9'\?"):
        predict(compose("predict", asked))


def test_the_atlas_predicts_graphs_from_a_table_of_edges(tmp_path, capsys):
    run = trained(tmp_path, "experiment=gnn/atlas", "trainer.max_epochs=1", "trainer.limit_train_batches=1")
    (tmp_path / "graphs.csv").write_text("graph,source,target\nA,a,b\nA,b,c\nA,c,a\nB,1,2\n")
    capsys.readouterr()
    assert predict(compose("predict", [f"run={run}", f"input={tmp_path}/graphs.csv", "accelerator=cpu"])) == 0
    first, second = capsys.readouterr().out.strip().splitlines()
    assert '"input": "A", "triangles":' in first and '"input": "B", "triangles":' in second
    (tmp_path / "graphs.csv").write_text("source,target\na,b\n")
    with pytest.raises(UserError, match="no column 'graph'"):
        predict(compose("predict", [f"run={run}", f"input={tmp_path}/graphs.csv", "accelerator=cpu"]))


def test_training_goes_on_after_an_evaluation_came_first(tmp_path):
    """Lightning's check before training is in inference mode, and works out the products that training keeps."""
    sanity = ["trainer.num_sanity_val_steps=1", "trainer.max_epochs=1", "model=gnn/gcn"]
    assert runs.read_metrics(trained(tmp_path, "experiment=gnn/karate", *sanity))["steps"] == 1


@pytest.mark.parametrize("nodes", [10, 300])
def test_a_graph_is_drawn_with_every_node_and_each_mistake(nodes):
    edges = torch.stack([torch.arange(nodes - 1), torch.arange(1, nodes)])
    logits = torch.randn(nodes, 3, generator=torch.Generator().manual_seed(0))
    figure = drawn_graph(torch.cat([edges, edges.flip(0)], 1), logits, torch.tensor([1, 4]), ["a", "b", "c"])
    points = [len(kind.get_offsets()) for kind in figure.axes[0].collections if isinstance(kind, PathCollection)]
    assert sum(points[:-1]) == nodes and points[-1] == 2
    assert "2 mistakes" in figure.axes[0].get_title()
