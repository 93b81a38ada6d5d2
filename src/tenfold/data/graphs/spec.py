"""What a network must know of graphs, and how nodes and edges are read from tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from tenfold.config.spec import DataSpec, spec_from_dict
from tenfold.data.graphs.graph import undirected
from tenfold.data.tabular.spec import TableSpec, numbers
from tenfold.data.tabular.table import Table, read_table
from tenfold.errors import UserError, nearest

LARGEST = 500  # nodes of a graph that is read from each of them: memory grows with their square
CELLS = 2**19  # pairs of nodes read at once, each with a few hundred numbers


class NodeInputs(NamedTuple):
    """Features `[nodes, features]` and edges `[2, edges]`."""

    features: Tensor
    edge_index: Tensor


@dataclass(frozen=True)
class NodeSpec(DataSpec):
    """Nodes of one graph, with features and a class each.

    table: how a row of a table of nodes is encoded (a `TableSpec` in plain types); None: its numbers as they are.
    scale: what its numbers are multiplied with; sums_to_one: whether each node's are then made to sum to 1.
    id_column: of the table of nodes; the edges name nodes by it.
    """

    in_features: int
    class_names: tuple[str, ...]
    table: dict[str, Any] | None = None
    id_column: str = "id"
    scale: float = 1.0
    sums_to_one: bool = False

    provides: ClassVar[frozenset[str]] = frozenset({"in_features", "num_classes"})

    def network_arguments(self) -> dict[str, Any]:
        return {"in_features": self.in_features, "num_classes": len(self.class_names)}

    def read(self, sources: Sequence[str], batch_size: int) -> Iterator[tuple[list[str], NodeInputs]]:
        """A table of nodes and a table of edges, as one graph: the answer to a node depends on all of it."""
        if len(sources) != 2:
            raise UserError(f"input: found {len(sources)} files, expected two: input=[nodes.csv,edges.csv]")
        nodes = read_table(sources[0])
        names = node_names(nodes, self.id_column)
        yield names, NodeInputs(self.encode(nodes), read_edges(sources[1], names))

    def encode(self, nodes: Table) -> Tensor:
        """Features `[nodes, in_features]` of float32. Raises `UserError` on other columns than in training."""
        if self.table is not None:
            table: Any = spec_from_dict(self.table)
            return table.encode(nodes)
        columns = [name for name in nodes.columns if name != self.id_column]
        if len(columns) != self.in_features:
            raise UserError(
                f"{nodes.source}: found {len(columns)} columns beside {self.id_column!r}, expected the "
                f"{self.in_features} features of the training graph"
            )
        values = [torch.from_numpy(numbers(nodes, name)[0]) for name in columns]
        return self.prepare(torch.stack(values, 1).float().nan_to_num(0.0))

    def prepare(self, features: Tensor) -> Tensor:
        """Numbers as they were measured `[nodes, in_features]`, as the network wants them."""
        features = features * self.scale
        return features / features.sum(1, keepdim=True).clamp(min=1e-12) if self.sums_to_one else features

    def example_inputs(self) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(0)
        edges = undirected(torch.tensor([[0, 1, 2, 3, 0, 4], [1, 2, 3, 4, 2, 0]]), 6)  # node 5 has no neighbours
        return torch.randn((6, self.in_features), generator=generator), edges

    def free_dimensions(self) -> tuple[tuple[str, ...], ...]:
        return ("nodes",), ("", "edges")

    def preprocessing(self) -> dict[str, str]:
        encoded = TableSpec.preprocessing(spec_from_dict(self.table)) if self.table else {}  # type: ignore[arg-type]
        return {
            "input": f"features float32 [nodes, {self.in_features}]; edges int64 [2, edges], from row 0 to row 1, each "
            "edge of an undirected graph both ways, without loops",
            "features": encoded.get("features", self._scaling()),
            "class_names": ", ".join(self.class_names),
        }

    def _scaling(self) -> str:
        return f"numbers, times {self.scale:.9g}" + (", then each node's over their sum" if self.sums_to_one else "")


@dataclass(frozen=True)
class GraphSpec(DataSpec):
    """Small graphs with a number each; mean and std of the training targets, by which they are normalised, and how many
    nodes a training graph has."""

    target_name: str
    target_mean: float
    target_std: float
    in_features: int = 1
    mean_nodes: float = 1.0

    provides: ClassVar[frozenset[str]] = frozenset({"in_features", "mean_nodes"})

    def network_arguments(self) -> dict[str, Any]:
        return {"in_features": self.in_features, "mean_nodes": self.mean_nodes}

    def read(self, sources: Sequence[str], batch_size: int) -> Iterator[tuple[list[str], tuple[Tensor, ...]]]:
        """Tables of edges with the columns graph, source and target; a graph is what has one name in the first."""
        from tenfold.data.graphs.small import padded

        named: dict[str, list[tuple[str, str]]] = {}
        for source in sources:
            table = read_table(source)
            for name, *edge in zip(*(table.column(column) for column in ("graph", "source", "target")), strict=True):
                named.setdefault(name, []).append((edge[0], edge[1]))
        graphs = {name: _numbered(edges) for name, edges in named.items()}
        for name, (_, size) in graphs.items():
            if size > LARGEST:
                raise UserError(f"input: graph {name!r} has {size} nodes, expected at most {LARGEST}")
        for part in _alike([size for _, size in graphs.values()], batch_size):
            names = [list(graphs)[index] for index in part]
            yield names, padded([graphs[name] for name in names])

    def example_inputs(self) -> tuple[Tensor, ...]:
        from tenfold.data.graphs.small import padded

        triangle, path = torch.tensor([[0, 1, 2], [1, 2, 0]]), torch.tensor([[0, 1, 2], [1, 2, 3]])
        return padded([(triangle, 3), (path, 4)])

    def free_dimensions(self) -> tuple[tuple[str, ...], ...]:
        return ("batch", "nodes"), ("batch", "nodes", "nodes")

    def preprocessing(self) -> dict[str, str]:
        return {
            "input": "features float32 [batch, nodes, 1], 1 for a node and 0 for padding; adjacency float32 "
            "[batch, nodes, nodes], symmetric, without loops",
            "output": f"({self.target_name} - {self.target_mean:.9g}) / {self.target_std:.9g}",
        }


def node_names(nodes: Table, id_column: str) -> list[str]:
    """The names of a table's nodes. Raises `UserError` where one stands twice."""
    names = nodes.column(id_column)
    first: dict[str, int] = {}
    for name, line in zip(names, nodes.lines, strict=True):
        if first.setdefault(name, line) != line:
            raise UserError(f"{nodes.source}, line {line}: node {name!r} stands in line {first[name]} already")
    return names


def read_edges(source: str, names: Sequence[str]) -> Tensor:
    """Edges `[2, edges]`, both ways, from a table whose first two columns name nodes. Raises `UserError` on others."""
    table = read_table(source)
    if len(table.columns) < 2:
        raise UserError(f"{source}: found one column, expected two that name the nodes of each edge")
    index = {name: number for number, name in enumerate(names)}
    ends = [table.column(column) for column in table.columns[:2]]
    for line, *edge in zip(table.lines, *ends, strict=True):
        for name in edge:
            if name not in index:
                raise UserError(f"{source}, line {line}: there is no node {name!r}{nearest(name, index)}")
    return undirected(torch.tensor([[index[name] for name in end] for end in ends]), len(names))


def _alike(sizes: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Consecutive graphs, as many at once as fit in memory when each is filled up to the largest."""
    part: list[int] = []
    for index, size in enumerate(sizes):
        largest = max([size, *(sizes[i] for i in part)])
        if part and (len(part) == batch_size or (len(part) + 1) * largest**2 > CELLS):
            yield part
            part = []
        part.append(index)
    if part:
        yield part


def _numbered(edges: Sequence[tuple[str, str]]) -> tuple[Tensor, int]:
    """The edges of a graph by the numbers of its nodes, and how many nodes there are."""
    index: dict[str, int] = {}
    ends = [[index.setdefault(name, len(index)) for name in edge] for edge in edges]
    return torch.tensor(ends).T, len(index)
