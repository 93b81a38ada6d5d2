"""Citation graphs in Planetoid's published files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from tenfold.data.files import read_bytes
from tenfold.data.graphs.graph import Graph, undirected
from tenfold.data.graphs.nodes import Nodes
from tenfold.data.graphs.pickles import read_plain
from tenfold.data.graphs.spec import NodeSpec
from tenfold.errors import UserError, nearest

PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
VALIDATION = 500  # of the public split
CLASSES = {
    "cora": (
        "theory",
        "reinforcement learning",
        "genetic algorithms",
        "neural networks",
        "probabilistic methods",
        "case based",
        "rule learning",
    )
}


class Planetoid(Nodes):
    """Cora, Citeseer or Pubmed with the public split: 20 train nodes a class, 500 to choose on, 1,000 to test
    (Yang et al., 2016, arXiv 1603.08861). Features are word counts, each node's made to sum to 1.

    root: the folder that holds the files `ind.<name>.x`, `.tx`, `.allx`, `.y`, `.ty`, `.ally`, `.graph`, `.test.index`.
    """

    def __init__(self, root: str, name: Literal["cora", "citeseer", "pubmed"] = "cora", **common: Any) -> None:
        super().__init__(**common)
        if name not in ("cora", "citeseer", "pubmed"):
            hint = nearest(name, ["cora", "citeseer", "pubmed"])
            raise UserError(f"data.name: found {name!r}, expected cora, citeseer or pubmed{hint}")
        self.root, self.graph_name = Path(root), str(name)

    def read(self) -> tuple[NodeSpec, Graph, Tensor, Mapping[str, Tensor]]:
        files = {part: self._file(part) for part in PARTS}
        order = _test_nodes(files.pop("test.index"))
        held = {part: read_plain(path) for part, path in files.items()}
        self._check(held, order)
        counts, one_hot = _placed(held["allx"], held["tx"], order), _placed(held["ally"], held["ty"], order)
        labels = one_hot.argmax(1).where(one_hot.sum(1) > 0, -1)
        names = CLASSES.get(self.graph_name) or tuple(f"class {i}" for i in range(one_hot.shape[1]))
        spec = NodeSpec(counts.shape[1], names, sums_to_one=True)
        num_train = len(held["y"])
        parts = {
            "train": torch.arange(num_train),
            "val": torch.arange(num_train, min(num_train + VALIDATION, len(held["allx"]))),
            "test": order.sort().values,
        }
        return spec, Graph(spec.prepare(counts), self._edges(held["graph"], len(counts))), labels, parts

    def _file(self, part: str) -> Path:
        for path in (self.root / f"ind.{self.graph_name}.{part}", self.root / "raw" / f"ind.{self.graph_name}.{part}"):
            if path.is_file():
                return path
        raise UserError(
            f"data.root: no file ind.{self.graph_name}.{part} in {self.root}; expected Planetoid's files "
            f"ind.{self.graph_name}.{{{','.join(PARTS)}}}"
        )

    def _check(self, held: Mapping[str, Any], order: Tensor) -> None:
        """That the files belong together."""
        for part in ("tx", "allx", "y", "ty", "ally"):
            if not isinstance(held[part], np.ndarray) or held[part].ndim != 2 or held[part].dtype.kind not in "biuf":
                raise UserError(f"{self._file(part)}: expected a matrix of numbers")
        sizes = {part: held[part].shape for part in ("tx", "allx", "ty", "ally")}
        classes = len(CLASSES[self.graph_name]) if self.graph_name in CLASSES else sizes["ally"][1]
        fit = len(order) == sizes["tx"][0] == sizes["ty"][0] and sizes["allx"][0] == sizes["ally"][0]
        fit &= sizes["tx"][1] == sizes["allx"][1] and sizes["ty"][1] == sizes["ally"][1] == classes
        first = sizes["allx"][0]
        if not fit or order.min() < first or order.max() >= first + 2 * len(order) or len(order.unique()) < len(order):
            shapes = ", ".join(f"{part} {rows} x {columns}" for part, (rows, columns) in sizes.items())
            raise UserError(f"{self.root}: files that do not fit each other ({len(order)} test nodes, {shapes})")

    def _edges(self, neighbours: Any, num_nodes: int) -> Tensor:
        path = self._file("graph")
        if not isinstance(neighbours, dict):
            raise UserError(f"{path}: expected a dict of each node's neighbours")
        edges = [(node, other) for node, others in neighbours.items() for other in others]
        for node in (node for edge in edges for node in edge):
            if not isinstance(node, int) or not 0 <= node < num_nodes:
                raise UserError(f"{path}: there is no node {node!r}, expected 0 to {num_nodes - 1}")
        return undirected(torch.tensor(edges).view(-1, 2).T, num_nodes)


def _test_nodes(path: Path) -> Tensor:
    try:
        order = [int(line) for line in read_bytes(path).split()]
    except ValueError as error:
        raise UserError(f"{path}: expected a number on each line ({error})") from error
    if not order:
        raise UserError(f"{path}: empty, expected the numbers of the test nodes")
    return torch.tensor(order)


def _placed(rest: np.ndarray, test: np.ndarray, order: Tensor) -> Tensor:
    """All rows of a matrix: the first ones as they come, those of test nodes where `order` says; zeros for the few
    nodes that no file describes."""
    rows = torch.zeros(int(order.max()) + 1, rest.shape[1])
    rows[: len(rest)] = torch.from_numpy(rest).float()
    rows[order] = torch.from_numpy(test).float()
    return rows
