"""The classical tables that scikit-learn ships."""

from __future__ import annotations

import csv
from typing import Any

from tenfold.data.files import package_file
from tenfold.data.tabular.base import Tables
from tenfold.data.tabular.table import Table
from tenfold.errors import UserError, nearest

_CELL = (
    "radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave points", "symmetry",
    "fractal dimension",
)  # fmt: skip

COLUMNS: dict[str, tuple[str, ...]] = {
    "iris": ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"),
    "wine_data": (
        "alcohol", "malic acid", "ash", "alcalinity of ash", "magnesium", "total phenols", "flavanoids",
        "nonflavanoid phenols", "proanthocyanins", "colour intensity", "hue", "od280/od315 of diluted wines", "proline",
    ),
    "breast_cancer": (
        *(f"mean {name}" for name in _CELL), *(f"{name} error" for name in _CELL), *(f"worst {name}" for name in _CELL),
    ),
}  # fmt: skip


class Bundled(Tables):
    """A table that scikit-learn ships as `<name>.csv`.

    Its first line holds the number of rows, of columns, and the names of the classes; its last column the class.

    name: iris, wine_data or breast_cancer.
    """

    def __init__(self, name: str, **common: Any) -> None:
        super().__init__(target="class", **common)
        if name not in COLUMNS:
            raise UserError(f"data.name: found {name!r}, expected {', '.join(COLUMNS)}{nearest(name, COLUMNS)}")
        self.table = name

    def read_table(self) -> Table:
        path = package_file("sklearn", "datasets", "data", f"{self.table}.csv")
        with open(path, encoding="utf-8", newline="") as file:
            (_, _, *class_names), *rows = csv.reader(file)
        rows = [[*row[:-1], class_names[int(row[-1])]] for row in rows]
        return Table(path.name, (*COLUMNS[self.table], "class"), rows, list(range(2, len(rows) + 2)))
