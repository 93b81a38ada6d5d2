"""Your own nodes and edges: what is read, what is forgiven and what is refused."""

from __future__ import annotations

import pytest
import torch

from tenfold.data.graphs.spec import CELLS, LARGEST, GraphSpec, _alike
from tenfold.data.graphs.table import CSVGraph
from tenfold.errors import UserError

NODES = ["id,size,colour,club"] + [f"n{i},{i},{'red' if i % 2 else 'blue'},{'ab'[i % 2]}" for i in range(20)]
NODES += ["x,3,red,", "y,4,blue,?"]  # of unknown classes
EDGES = ["source,target", "n0,n2", "n2,n0", "n0,n2", "n1,n1", "x,n3"]


@pytest.fixture
def load(tmp_path):
    def write_and_load(nodes=NODES, edges=EDGES, **options) -> CSVGraph:
        paths = {"nodes": tmp_path / "nodes.csv", "edges": tmp_path / "edges.csv"}
        for path, lines in zip(paths.values(), (nodes, edges), strict=True):
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        arguments = {"target": "club", "batch_size": 1000, **{key: str(path) for key, path in paths.items()}}
        data = CSVGraph(**arguments | options)
        data.setup()
        return data

    return write_and_load


def test_twice_the_same_edge_is_one_and_a_loop_is_none(load):
    edges = load().graph.topology.edge_index
    assert sorted(edges.T.tolist()) == [[0, 2], [2, 0], [3, 20], [20, 3]]


def test_nodes_of_unknown_class_take_part_in_the_graph_and_in_no_split(load):
    data = load()
    parts = [data.splits[split] for split in ("train", "val", "test")]
    assert data.graph.num_nodes == 22
    assert torch.cat([part.nodes for part in parts]).sort().values.tolist() == list(range(20))
    assert all((part.labels >= 0).all() for part in parts)
    assert data.spec.class_names == ("a", "b")


def test_statistics_are_those_of_the_training_nodes(load):
    data = load()
    sizes = data.graph.features[data.splits["train"].nodes, 0]
    assert abs(float(sizes.mean())) < 1e-6 and abs(float(sizes.std(correction=0)) - 1) < 1e-6
    assert data.graph.features.shape == (22, 3)  # size, and an indicator for each colour


def test_an_edge_to_a_node_that_does_not_exist(load):
    with pytest.raises(UserError, match=r"edges.csv, line 3: there is no node 'n99'; did you mean 'n9'\?") as error:
        load(edges=["source,target", "n0,n1", "n1,n99"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nodes": [*NODES, "n3,1,red,a"]}, r"nodes.csv, line 24: node 'n3' stands in line 5 already"),
        ({"edges": ["source", "n0"]}, r"edges.csv: found one column, expected two"),
        ({"target": "klub"}, r"nodes.csv: no column 'klub'; did you mean 'club'"),
        ({"id_column": "name"}, r"nodes.csv: no column 'name'"),
        ({"ignore": ["size", "colour"]}, r"no column to learn from beside"),
        ({"val_fraction": 1.5}, r"data.val_fraction: found 1.5"),
        ({"nodes": ["id,size,club", "a,1,", "b,2,"]}, r"nodes.csv: no node has a class in column 'club'"),
    ],
)
def test_bad_tables_are_told_in_one_line(load, changes, words):
    with pytest.raises(UserError, match=words) as error:
        load(**changes)
    assert "\n" not in str(error.value)


def test_prediction_encodes_as_training_did(load, tmp_path):
    data = load()
    ((names, inputs),) = data.spec.read([str(tmp_path / "nodes.csv"), str(tmp_path / "edges.csv")], 7)
    assert names[0] == "n0" and len(names) == 22
    assert torch.equal(inputs.features, data.graph.features)
    assert torch.equal(inputs.edge_index, data.graph.topology.edge_index)
    with pytest.raises(UserError, match=r"found 1 files, expected two: input=\[nodes.csv,edges.csv\]"):
        next(data.spec.read(["nodes.csv"], 1))


@pytest.fixture
def graphs(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "graphs.csv"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_graphs_come_from_a_table_of_edges(graphs):
    path = graphs("graph,source,target\nfirst,a,b\nsecond,a,b\nfirst,b,c\nfirst,c,b\nsecond,d,d\n")
    ((names, (features, adjacency)),) = GraphSpec("triangles", 0.0, 1.0).read([path], 8)
    assert names == ["first", "second"]
    assert features.sum((1, 2)).tolist() == [3, 3]  # `second` has a, b and d, which a loop makes known
    assert adjacency.sum((1, 2)).tolist() == [4, 2]


def test_a_graph_too_large_to_be_read_from_each_of_its_nodes(graphs):
    rows = "\n".join(f"path,{i},{i + 1}" for i in range(LARGEST))
    with pytest.raises(UserError, match=rf"graph 'path' has {LARGEST + 1} nodes, expected at most {LARGEST}"):
        list(GraphSpec("triangles", 0.0, 1.0).read([graphs(f"graph,source,target\n{rows}\n")], 8))


def test_graphs_are_read_at_once_as_far_as_memory_goes():
    sizes = [3, LARGEST, LARGEST, LARGEST, 2, 2, 2]
    parts = list(_alike(sizes, 3))
    assert [index for part in parts for index in part] == list(range(7))
    assert all(len(part) * max(sizes[i] for i in part) ** 2 <= CELLS and len(part) <= 3 for part in parts)
