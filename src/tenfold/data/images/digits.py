"""The 8 × 8 digits that scikit-learn ships."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from tenfold.data.files import integer_table, package_file
from tenfold.data.images.base import Images, InMemory, hold_out
from tenfold.data.labels import check_fraction, stratified, stratified_fold
from tenfold.errors import UserError

Protocol = Literal["fractions", "halves", "folds"]
WHITE = 16  # the largest value of a pixel in the file


class Digits(Images):
    """1,797 grey images of 8 × 8 pixels, 10 classes, by 43 writers.

    protocol: how the test split is made: `fractions` (stratified, shuffled), `folds` (one of `num_folds` stratified,
        shuffled parts) or `halves` (the second half of the file, unshuffled, by writers that the first half has not).
    test_fraction: share of all samples, for `fractions`; 0 for none.
    fold, num_folds: which part is the test split, counting from 0, for `folds`.
    val_fraction: share of the rest that is held out to choose checkpoints on; 0 for none.
    """

    def __init__(
        self,
        protocol: Protocol = "fractions",
        test_fraction: float = 0.2,
        fold: int = 0,
        num_folds: int = 10,
        val_fraction: float = 0.1,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if protocol not in ("fractions", "halves", "folds"):
            raise UserError(f"data.protocol: found {protocol!r}, expected fractions, halves or folds")
        check_fraction("data.test_fraction", test_fraction)
        self.protocol, self.test_fraction = protocol, test_fraction
        self.fold, self.num_folds, self.val_fraction = fold, num_folds, val_fraction

    def read_splits(self) -> tuple[dict[str, InMemory], tuple[str, ...]]:
        table = torch.from_numpy(integer_table(package_file("sklearn", "datasets", "data", "digits.csv.gz")))
        pixels = (table[:, :-1] * (255 / WHITE)).round().byte()
        everything = InMemory(pixels.view(-1, 1, 8, 8), table[:, -1])
        rest, test = self._divide(everything.labels)
        splits = hold_out(everything.subset(rest), self.val_fraction, self.split_seed)
        if len(test):
            splits["test"] = everything.subset(test)
        return splits, tuple("0123456789")

    def _divide(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        if self.protocol == "folds":
            return stratified_fold(labels, self.num_folds, self.fold, self.split_seed)
        if self.protocol == "halves":
            middle = len(labels) // 2
            return torch.arange(middle), torch.arange(middle, len(labels))
        return stratified(labels, self.test_fraction, self.split_seed)
