"""What a network must know of a table, and how rows are encoded for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from tenfold.config.spec import DataSpec
from tenfold.data.tabular.table import Table, is_missing, number_of, read_table
from tenfold.errors import UserError


@dataclass(frozen=True)
class TableSpec(DataSpec):
    """Columns, and the statistics of the training rows with which they are encoded.

    A numeric column becomes (value - mean) / std, a missing value counting as the median; where training rows miss
    values, an indicator (1 where missing) follows. A categorical column becomes one indicator for each category, a
    missing value being the category `""` where training rows have it; a category that is not among them is all zeros.

    columns: in the order in which they are encoded, the target left out.
    categories: of each column; None where it is numeric.
    medians, means, stds: of each column; 0, 0, 1 where it is categorical.
    has_missing: for each column, whether it has an indicator of missing values.
    separator: of the file, None to find it from the header.
    """

    columns: tuple[str, ...]
    categories: tuple[tuple[str, ...] | None, ...]
    medians: tuple[float, ...]
    means: tuple[float, ...]
    stds: tuple[float, ...]
    has_missing: tuple[bool, ...]
    target: str
    class_names: tuple[str, ...]
    separator: str | None = None

    provides: ClassVar[frozenset[str]] = frozenset({"in_features", "num_classes"})

    def network_arguments(self) -> dict[str, Any]:
        in_features = sum(
            1 + missing if categories is None else len(categories)
            for categories, missing in zip(self.categories, self.has_missing)
        )
        return {"in_features": in_features, "num_classes": len(self.class_names)}

    def example_inputs(self) -> tuple[Tensor]:
        shape = (2, self.network_arguments()["in_features"])
        return (torch.randn(shape, generator=torch.Generator().manual_seed(0)),)

    def encode(self, table: Table) -> Tensor:
        """float32 `[rows, in_features]`. Raises `UserError` where a column is absent or a cell is no finite number."""
        blocks = []
        for index, (name, categories) in enumerate(zip(self.columns, self.categories)):
            if categories is None:
                values, missing = numbers(table, name)
                scaled = (np.where(missing, self.medians[index], values) - self.means[index]) / self.stds[index]
                blocks += [scaled[:, None], missing[:, None]][: 1 + self.has_missing[index]]
            else:
                cells = np.array(categorical(table, name), dtype=object)
                blocks.append(np.stack([cells == category for category in categories], axis=1))
        return torch.from_numpy(np.concatenate(blocks, axis=1, dtype=np.float32))

    def read(self, sources: Sequence[str], batch_size: int) -> Iterator[tuple[list[str], Tensor]]:
        """CSV files with the header of the training file, `-` for stdin; the target column may be left out.

        A row is named by its file and line.
        """
        for source in sources:
            table = read_table(source, self.separator)
            inputs = self.encode(table)
            names = [f"{table.source}:{line}" for line in table.lines]
            for start in range(0, len(names), batch_size):
                yield names[start : start + batch_size], inputs[start : start + batch_size]

    def preprocessing(self) -> dict[str, str]:
        words = []
        for name, categories, median, mean, std, missing in zip(
            self.columns, self.categories, self.medians, self.means, self.stds, self.has_missing
        ):
            if categories is None:
                words.append(f"{name}: (value - {mean:.9g}) / {std:.9g}, missing as {median:.9g}")
                words += [f"{name}: 1 where missing, else 0"] * missing
            else:
                words += [f"{name}: 1 for {category!r}, else 0" for category in categories]
        return {
            "input": f"float32 [batch, {self.network_arguments()['in_features']}]",
            "features": "; ".join(words),
            "class_names": ", ".join(self.class_names),
        }


def numbers(table: Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A numeric column: float64 values `[rows]`, NaN where missing, and where that is, bool `[rows]`."""
    cells = table.column(name)
    missing = np.fromiter(map(is_missing, cells), dtype=bool, count=len(cells))
    values = np.fromiter((_number(cell) for cell in cells), dtype=np.float64, count=len(cells))
    wrong = np.flatnonzero(~np.isfinite(values) & ~missing)
    if len(wrong):
        raise UserError(
            f"{table.source}, line {table.lines[wrong[0]]}: found {cells[wrong[0]]!r} in column {name!r}, "
            "expected a finite number"
        )
    return values, missing


def _number(cell: str) -> float:
    try:
        return number_of(cell)
    except ValueError:
        return np.nan


def categorical(table: Table, name: str) -> list[str]:
    """A categorical column: a missing value is `""`."""
    return ["" if is_missing(cell) else cell for cell in table.column(name)]
