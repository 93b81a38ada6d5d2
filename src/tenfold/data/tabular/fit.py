"""From the training rows of a table to its `TableSpec`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from lightning.pytorch.utilities import rank_zero_warn

from tenfold.data.tabular.spec import TableSpec, categorical, numbers
from tenfold.data.tabular.table import Table, is_missing, is_number
from tenfold.errors import UserError

MANY = 0.5  # distinct values, as a share of the rows, above which a column is rather an identifier


def class_names_of(table: Table, target: str) -> tuple[str, ...]:
    """The classes, sorted; by value where they are numbers."""
    cells = table.column(target)
    for cell, line in zip(cells, table.lines):
        if is_missing(cell):
            raise UserError(f"{table.source}, line {line}: no value in the target column {target!r}, expected a class")
    names = set(cells)
    if len(names) > max(2, MANY * len(cells)):
        raise UserError(
            f"{table.source}: the target column {target!r} has {len(names)} different values in {len(cells)} rows, "
            "expected a few classes"
        )
    return tuple(sorted(names, key=float) if all(map(is_number, names)) else sorted(names))


def column_kinds(
    table: Table, target: str, numeric: Sequence[str], categories: Sequence[str], ignore: Sequence[str]
) -> dict[str, bool]:
    """The columns to learn from, and whether each is numeric: as told, or else where all its values are numbers."""
    for name in (*numeric, *categories, *ignore):
        table.column(name)
    if twice := set(numeric) & set(categories):
        raise UserError(f"data: column {min(twice)!r} is in both numeric and categorical, expected one of them")
    columns = [name for name in table.columns if name != target and name not in ignore]
    if not columns:
        raise UserError(f"{table.source}: no column to learn from beside {target!r}")
    return {name: name in numeric or (name not in categories and _all_numbers(table, name)) for name in columns}


def _all_numbers(table: Table, name: str) -> bool:
    return all(is_number(cell) for cell in table.column(name) if not is_missing(cell))


def fit(
    train: Table, kinds: dict[str, bool], target: str, class_names: tuple[str, ...], separator: str | None
) -> TableSpec:
    """The spec whose statistics and categories are those of the rows of `train`; `kinds` as of `column_kinds`."""
    columns = [(_fit_numeric if numeric else _fit_categorical)(train, name) for name, numeric in kinds.items()]
    categories, medians, means, stds, has_missing = zip(*columns)
    return TableSpec(tuple(kinds), categories, medians, means, stds, has_missing, target, class_names, separator)


def _fit_numeric(table: Table, name: str) -> tuple[None, float, float, float, bool]:
    values, missing = numbers(table, name)
    if missing.all():
        raise UserError(
            f"{table.source}: column {name!r} has no value in any training row, leave it out with data.ignore=[{name}]"
        )
    median = float(np.median(values[~missing]))
    filled = np.where(missing, median, values)
    std = float(filled.std())
    return None, median, float(filled.mean()), std if std > 0 else 1.0, bool(missing.any())


def _fit_categorical(table: Table, name: str) -> tuple[tuple[str, ...], float, float, float, bool]:
    cells = categorical(table, name)
    found = tuple(sorted(set(cells)))
    if len(found) > max(20, MANY * len(cells)):
        rank_zero_warn(
            f"{table.source}: column {name!r} has {len(found)} categories in {len(cells)} training rows; "
            f"if it names the rows, leave it out with data.ignore=[{name}]"
        )
    return found, 0.0, 0.0, 1.0, False
