"""Where the valid positions of a masked batch lie, so that a chain joins over the holes in its mask."""

from typing import NamedTuple

import torch
from torch import Tensor


class Layout(NamedTuple):
    """Valid positions and nothing else, as rows: all sequences' first ones, then their second ones, and so on.

    At each time the longest sequence comes first, so those that go on are the first rows of the time before.

    positions: [rows], in the flattened [batch * width].
    sequences: [rows], whose each is.
    mirror: [rows], the row at which each sequence, read backwards, is.
    previous: [rows - first], the row before, of each row but those of the first time.
    sizes: how many rows each time has.
    lengths: [batch], how many rows each sequence has.
    width: positions of a sequence, masked ones included.
    """

    positions: Tensor
    sequences: Tensor
    mirror: Tensor
    previous: Tensor
    sizes: list[int]
    lengths: Tensor
    width: int

    @classmethod
    def of(cls, mask: Tensor) -> "Layout":
        """Lay out a boolean `mask` [batch, width] of any form, holes and empty rows included."""
        lengths = mask.sum(1)
        longest_first, order = lengths.sort(descending=True, stable=True)
        steps = torch.arange(int(longest_first[0]) if len(lengths) else 0, device=mask.device)
        inside = longest_first > steps.unsqueeze(1)
        times, rank = inside.nonzero(as_tuple=True)
        sizes = inside.sum(1)
        counts, begins = sizes.tolist(), sizes.cumsum(0) - sizes

        sequences, later = order[rank], slice(sum(counts[:1]), None)
        positions = mask.flatten().nonzero().squeeze(1)[(lengths.cumsum(0) - lengths)[sequences] + times]
        mirror = begins[longest_first[rank] - 1 - times] + rank
        previous = begins[times[later] - 1] + rank[later]
        return cls(positions, sequences, mirror, previous, counts, lengths, mask.shape[1])

    @property
    def first(self) -> int:
        """How many sequences are not empty: the rows of the first time."""
        return self.sizes[0] if self.sizes else 0

    @property
    def ends(self) -> Tensor:
        """The last row of each sequence that is not empty, in the order of the first rows."""
        return self.mirror[: self.first]

    def gather(self, values: Tensor) -> Tensor:
        """[batch, width, ...] to [rows, ...]."""
        return values.flatten(0, 1).index_select(0, self.positions)

    def scatter(self, values: Tensor, fill: int = 0) -> Tensor:
        """[rows, ...], or the last rows alone, back to [batch, width, ...], with `fill` in all other places."""
        out = values.new_full((len(self.lengths) * self.width, *values.shape[1:]), fill)
        out.index_copy_(0, self.positions[len(self.positions) - len(values) :], values)
        return out.view(len(self.lengths), self.width, *values.shape[1:])

    def total(self, values: Tensor) -> Tensor:
        """Sums of [rows, ...] over each sequence, [batch, ...]."""
        return values.new_zeros(len(self.lengths), *values.shape[1:]).index_add_(0, self.sequences, values)
