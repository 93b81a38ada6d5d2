"""Texts of many lengths in two flat tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from tenfold.data.base import Labelled


class RaggedTexts:
    """A data set of token indices end to end, `[tokens]` of int32, with a label for each text.

    `fetch` pads to the longest text of the batch, with no loop over its samples. `lengths` `[texts]` lets the loader
    put texts of like length together.
    """

    def __init__(self, texts: Iterable[Sequence[int]], labels: Tensor, padding_idx: int = 0) -> None:
        texts = list(texts)
        self.lengths = torch.tensor([len(text) for text in texts], dtype=torch.long)
        self.starts = self.lengths.cumsum(0) - self.lengths
        flat = np.fromiter(chain(chain.from_iterable(texts), [padding_idx]), dtype=np.int32)
        self.tokens = torch.from_numpy(flat)  # and one padding token, from which all padding is copied
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def fetch(self, indices: Tensor) -> Labelled:
        """Tokens `[batch, time]` and labels `[batch]`, both int64."""
        lengths = self.lengths[indices].unsqueeze(1)
        steps = torch.arange(int(lengths.max()) if len(indices) else 0)
        positions = (self.starts[indices].unsqueeze(1) + steps).masked_fill_(steps >= lengths, len(self.tokens) - 1)
        return Labelled(self.tokens.take(positions).long(), self.labels[indices])
