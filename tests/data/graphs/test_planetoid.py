"""Planetoid's files: read as published; what is no array is refused without being run."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from contract.stand_ins import planetoid
from tenfold.data.graphs.pickles import read_plain
from tenfold.data.graphs.planetoid import Planetoid
from tenfold.errors import UserError


@pytest.fixture
def folder(tmp_path):
    planetoid(tmp_path, np.random.default_rng(0))
    return tmp_path


def loaded(folder) -> Planetoid:
    data = Planetoid(root=str(folder), batch_size=1000)
    data.setup()
    return data


def rewrite(folder, part: str, value: object) -> None:
    (folder / f"ind.cora.{part}").write_bytes(pickle.dumps(value, protocol=3))


def held(folder, part: str):
    return pickle.loads((folder / f"ind.cora.{part}").read_bytes())  # our own file


def test_rows_of_test_nodes_stand_where_the_index_says(folder):
    data = loaded(folder)
    order = np.loadtxt(folder / "ind.cora.test.index", dtype=int)
    words = torch.from_numpy(held(folder, "tx").toarray())
    assert torch.allclose(data.graph.features[order], words / words.sum(1, keepdim=True))
    assert data.splits["test"].nodes.tolist() == sorted(order)
    labels = torch.from_numpy(held(folder, "ty")).argmax(1)
    assert data.splits["test"].labels.tolist() == labels[torch.from_numpy(order).argsort()].tolist()
    assert [len(data.splits[split]) for split in ("train", "val", "test")] == [21, 49, 21]


def test_edges_are_both_ways_once_and_without_loops(folder):
    rewrite(folder, "graph", {0: [1, 1, 0], 1: [0], 2: [3]})
    assert loaded(folder).graph.topology.edge_index.T.tolist() == [[1, 0], [0, 1], [3, 2], [2, 3]]


class Hostile:
    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


@pytest.mark.parametrize("wrapped", [lambda x: x, lambda x: {0: [x]}, lambda x: np.array([x], dtype=object)])
def test_a_file_that_would_run_code_is_refused_and_runs_nothing(folder, wrapped):
    rewrite(folder, "graph", wrapped(Hostile(folder / "made")))
    with pytest.raises(UserError, match=r"ind.cora.graph: refused, expected arrays and lists only \(it asks for") as e:
        loaded(folder)
    assert "\n" not in str(e.value)
    assert not (folder / "made").exists()


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "numpy.load", "scipy.io.loadmat", "builtins.getattr"])
def test_no_other_function_can_be_asked_for(tmp_path, name):
    module, function = name.split(".") if name.count(".") == 1 else name.rsplit(".", 1)
    path = tmp_path / "a.pickle"
    path.write_bytes(f"c{module}\n{function}\n(Vx\ntR.".encode())
    with pytest.raises(UserError, match=f"it asks for {name}"):
        read_plain(path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda matrix: matrix.indices.__setitem__(0, 10_000),
        lambda matrix: matrix.indices.__setitem__(0, -1),
        lambda matrix: matrix.indptr.__setitem__(1, 10_000),
        lambda matrix: setattr(matrix, "data", matrix.data[:-1]),
    ],
)
def test_a_sparse_matrix_that_points_outside_is_damaged(folder, spoil):
    matrix = held(folder, "tx")
    spoil(matrix)
    rewrite(folder, "tx", matrix)
    with pytest.raises(UserError, match="ind.cora.tx: damaged"):
        loaded(folder)


def test_a_file_cut_short_is_damaged(folder):
    path = folder / "ind.cora.allx"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match=r"ind.cora.allx: (damaged|refused)"):
        loaded(folder)


@pytest.mark.parametrize("node", [91, -1, "7"])
def test_an_edge_to_a_node_that_does_not_exist(folder, node):
    rewrite(folder, "graph", {0: [1, node]})
    with pytest.raises(UserError, match=rf"ind.cora.graph: there is no node {node!r}, expected 0 to 90"):
        loaded(folder)


def test_files_of_different_graphs_do_not_fit(folder):
    rewrite(folder, "ty", held(folder, "ty")[:-1])
    with pytest.raises(UserError, match=r"files that do not fit each other \(21 test nodes"):
        loaded(folder)


def test_a_test_index_that_is_no_list_of_numbers(folder):
    (folder / "ind.cora.test.index").write_text("70\nseventy\n")
    with pytest.raises(UserError, match="test.index: expected a number on each line"):
        loaded(folder)


def test_an_absent_file_is_named_with_what_is_expected(folder):
    (folder / "ind.cora.ally").unlink()
    with pytest.raises(UserError, match=r"data.root: no file ind.cora.ally .*expected Planetoid's files"):
        loaded(folder)


def test_a_wrong_name_is_told_the_nearest(folder):
    with pytest.raises(UserError, match="found 'pubmd'.*did you mean 'pubmed'"):
        Planetoid(root=str(folder), name="pubmd", batch_size=1)  # type: ignore[arg-type]
