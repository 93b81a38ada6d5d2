"""Where the valid positions of a masked batch lie, so that a chain joins over the holes in its mask."""

from typing import NamedTuple

import torch
from torch import Tensor


class Layout(NamedTuple):
    """Valid positions of each sequence moved to its front, time first.

    `positions` [time, batch] are rows of the flattened [batch * length]; `lengths` [batch] count the valid ones;
    `valid` [time, batch] marks them; `mirror` [time, batch] is the time at which each sequence, read backwards, is.
    """

    positions: Tensor
    lengths: Tensor
    valid: Tensor
    mirror: Tensor

    @classmethod
    def of(cls, mask: Tensor) -> "Layout":
        """Lay out a boolean `mask` [batch, length] of any form, holes and empty rows included."""
        batch, length = mask.shape
        lengths = mask.sum(1)
        time = max(int(lengths.max()), 1)
        order = torch.argsort(~mask, dim=1, stable=True)[:, :time].t()
        steps = torch.arange(time, device=mask.device).unsqueeze(1)
        positions = order + torch.arange(batch, device=mask.device) * length
        return cls(positions, lengths, steps < lengths, (lengths - 1 - steps).clamp_(min=0))

    def take(self, rows: Tensor) -> "Layout":
        """The same for some sequences of the batch only."""
        return Layout(self.positions[:, rows], self.lengths[rows], self.valid[:, rows], self.mirror[:, rows])

    def gather(self, values: Tensor) -> Tensor:
        """[batch, length, ...] to [time, batch, ...]; what follows a sequence's end is not to be used."""
        picked = values.flatten(0, 1).index_select(0, self.positions.flatten())
        return picked.view(*self.valid.shape, *values.shape[2:])

    def gather_both(self, values: Tensor) -> Tensor:
        """[batch, length, tags] to [2, time, batch, tags]: forwards, and each sequence read backwards."""
        both = torch.stack([self.positions, self.positions.gather(0, self.mirror)])
        return values.flatten(0, 1).index_select(0, both.flatten()).view(*both.shape, -1)

    def reverse(self, values: Tensor) -> Tensor:
        """Each sequence of [time, batch, tags] read backwards; what follows its end is not to be used."""
        rows = self.mirror * len(self.lengths) + torch.arange(len(self.lengths), device=self.mirror.device)
        return values.flatten(0, 1).index_select(0, rows.flatten()).view_as(values)

    def scatter(self, values: Tensor, length: int) -> Tensor:
        """[time, batch, ...] back to [batch, length, ...], with zero wherever no position is written."""
        out = values.new_zeros(len(self.lengths) * length, *values.shape[2:])
        out.index_copy_(0, self.positions.flatten(), values.flatten(0, 1))
        return out.view(-1, length, *values.shape[2:])

    def last(self, values: Tensor) -> Tensor:
        """The entry of [time, batch, ...] at each sequence's end, [batch, ...]."""
        rows = torch.arange(len(self.lengths), device=self.lengths.device)
        return values[(self.lengths - 1).clamp(min=0), rows]
