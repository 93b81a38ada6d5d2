"""Outputs of a whole evaluated split, from all ranks."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.utilities.distributed import gather_all_tensors


class Gathered:
    """Collects tensors batch by batch, each `[batch, ...]`, and gives the concatenation over batches and ranks."""

    def __init__(self) -> None:
        self._rows: list[tuple[Tensor, ...]] = []

    def add(self, *tensors: Tensor) -> None:
        self._rows.append(tuple(tensor.detach() for tensor in tensors))

    def all(self) -> tuple[Tensor, ...]:
        columns = tuple(torch.cat(column) for column in zip(*self._rows, strict=True))
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            columns = tuple(self._from_ranks(column) for column in columns)
        return tuple(column.cpu() for column in columns)

    @staticmethod
    def _from_ranks(column: Tensor) -> Tensor:
        """Put rank r's rows back to where they stand in the split: it was given every `ranks`-th sample, from r on."""
        parts = gather_all_tensors(column)
        whole = column.new_empty(sum(len(part) for part in parts), *column.shape[1:])
        for rank, part in enumerate(parts):
            whole[rank :: len(parts)] = part
        return whole
