"""Tables as DataModules: any CSV file, and what all tables share."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tenfold.data.base import DataModule, Labelled, Split
from tenfold.data.labels import check_classes, check_fractions, majority_baseline, stratified
from tenfold.data.loader import Tensors
from tenfold.data.tabular.fit import class_names_of, column_kinds, fit
from tenfold.data.tabular.spec import TableSpec
from tenfold.data.tabular.table import Table, read_table
from tenfold.errors import UserError


class Tables(DataModule):
    """The rows of a table, encoded as `TableSpec` says with the statistics of the training rows.

    A subclass implements `read_table()`.

    target: the column that holds the class.
    numeric, categorical: columns of that kind; of others it is found: numeric where all values are numbers.
    ignore: columns to leave out, such as identifiers.
    separator: of the columns; None to find it from the header.
    val_fraction, test_fraction: shares of all rows, stratified; 0 for no such split.
    """

    spec_class = TableSpec
    spec: TableSpec

    def __init__(
        self,
        target: str,
        numeric: Sequence[str] = (),
        categorical: Sequence[str] = (),
        ignore: Sequence[str] = (),
        separator: str | None = None,
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        check_fractions(val_fraction, test_fraction)
        if separator is not None and len(separator) != 1:
            raise UserError(f"data.separator: found {separator!r}, expected one character, or null to find it")
        self.target, self.separator = target, separator
        self.numeric, self.categorical, self.ignore = numeric, categorical, ignore
        self.val_fraction, self.test_fraction = val_fraction, test_fraction

    def read_table(self) -> Table:
        raise NotImplementedError

    def load(self) -> None:
        table = self.read_table()
        class_names = class_names_of(table, self.target)
        index = {name: i for i, name in enumerate(class_names)}
        labels = torch.tensor([index[cell] for cell in table.column(self.target)])
        check_classes(labels, class_names)
        kinds = column_kinds(table, self.target, self.numeric, self.categorical, self.ignore)
        parts = self._divide(labels)
        self.rows = {name: _take(table, part) for name, part in parts.items()}
        self.spec = fit(self.rows["train"], kinds, self.target, class_names, self.separator)
        self.splits = {
            name: Tensors(Labelled(self.spec.encode(self.rows[name]), labels[part])) for name, part in parts.items()
        }

    def _divide(self, labels: Tensor) -> dict[str, Tensor]:
        """The rows of each split, train first."""
        train, parts = torch.arange(len(labels)), {}
        for split, fraction in (("test", self.test_fraction), ("val", self.val_fraction)):
            if fraction > 0:
                rest, part = stratified(labels[train], fraction * len(labels) / len(train), self.split_seed)
                train, parts[split] = train[rest], train[part]
        return {"train": train, **parts}

    def baseline(self, split: Split) -> dict[str, float]:
        return majority_baseline(self.labels("train"), self.labels(split))

    def example(self, split: Split, index: int) -> str:
        table = self.rows[split]
        return ", ".join(f"{name}={cell.strip()}" for name, cell in zip(table.columns, table.rows[index]))


class CSV(Tables):
    """Any CSV file with a header.

    path: the file.
    """

    def __init__(self, path: str, target: str, **common: Any) -> None:
        super().__init__(target, **common)
        self.path = path

    def read_table(self) -> Table:
        return read_table(self.path, self.separator)


def _take(table: Table, rows: Tensor) -> Table:
    chosen = rows.tolist()
    return dataclasses.replace(table, rows=[table.rows[i] for i in chosen], lines=[table.lines[i] for i in chosen])
