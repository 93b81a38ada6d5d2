"""Your own graph, as a table of nodes and a table of edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tenfold.data.graphs.graph import Graph
from tenfold.data.graphs.nodes import Nodes
from tenfold.data.graphs.spec import NodeSpec, node_names, read_edges
from tenfold.data.labels import check_fractions, stratified
from tenfold.data.tabular.fit import class_names_of, column_kinds, fit
from tenfold.data.tabular.spec import categorical
from tenfold.data.tabular.table import Table, read_table
from tenfold.errors import UserError


class CSVGraph(Nodes):
    """Nodes with numeric and categorical columns, encoded as those of a table are; undirected edges between them.

    nodes: a CSV file, a node a row; edges: a CSV file whose first two columns name nodes.
    target: the column that holds the class; a node whose cell is empty has an unknown one, and takes part all the same.
    id_column: the column by which edges name nodes.
    ignore: columns that are no features.
    val_fraction, test_fraction: shares of the labelled nodes, stratified.
    """

    def __init__(
        self,
        nodes: str,
        edges: str,
        target: str,
        id_column: str = "id",
        ignore: Sequence[str] = (),
        val_fraction: float = 0.2,
        test_fraction: float = 0.2,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        check_fractions(val_fraction, test_fraction)
        self.nodes, self.edges, self.target, self.id_column = nodes, edges, target, id_column
        self.ignore, self.fractions = tuple(ignore), {"test": test_fraction, "val": val_fraction}

    def read(self) -> tuple[NodeSpec, Graph, Tensor, Mapping[str, Tensor]]:
        table = read_table(self.nodes)
        names = node_names(table, self.id_column)
        cells = categorical(table, self.target)
        known = torch.tensor([index for index, cell in enumerate(cells) if cell], dtype=torch.long)
        if not len(known):
            raise UserError(f"{self.nodes}: no node has a class in column {self.target!r}, expected some at least")
        class_names = class_names_of(_rows(table, known), self.target)
        index = {name: number for number, name in enumerate(class_names)}
        labels = torch.tensor([index.get(cell, -1) for cell in cells])
        parts = self._divide(labels, known)
        kinds = column_kinds(table, self.target, (), (), (self.id_column, *self.ignore))
        encoding = fit(_rows(table, parts["train"]), kinds, self.target, class_names, None)
        features = encoding.encode(table)
        spec = NodeSpec(features.shape[1], class_names, encoding.to_dict(), self.id_column)
        return spec, Graph(features, read_edges(self.edges, names)), labels, parts

    def _divide(self, labels: Tensor, known: Tensor) -> dict[str, Tensor]:
        train, parts = known, {}
        for split, fraction in self.fractions.items():
            if fraction > 0:
                rest, part = stratified(labels[train], fraction * len(known) / len(train), self.split_seed)
                train, parts[split] = train[rest], train[part]
        return {"train": train, **parts}


def _rows(table: Table, rows: Tensor) -> Table:
    chosen = rows.tolist()
    return Table(table.source, table.columns, [table.rows[i] for i in chosen], [table.lines[i] for i in chosen])
