"""Reviews in batches of mixed length."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tenfold.data.base import Labelled
from tenfold.data.loader import Fetchable
from tenfold.data.text.reviews import Reviews


class MixedReviews(Reviews):
    """The reviews, batched as they come.

    Other text data puts texts of like length together, which saves padding, and which nearly hides what a mean of means
    does wrong.
    """

    def load(self) -> None:
        super().load()
        self.splits = {split: _Unsorted(texts) for split, texts in self.splits.items()}


class _Unsorted:
    """A data set of texts that does not tell the loader their lengths."""

    def __init__(self, texts: Fetchable[Any]) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    def fetch(self, indices: Tensor) -> Labelled:
        return self.texts.fetch(indices)
