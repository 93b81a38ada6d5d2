"""Random numbers that belong to the samples of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

if TYPE_CHECKING:
    from tenfold.engine.module import TenfoldModule


class Draws:
    """Noise for each sample of a batch: the same however the batch is cut and shared among ranks.

    Drawn for the whole batch of all ranks, of which each takes its own rows (every `world_size`-th, as `BatchOrder`
    shares samples out), from a generator that `key` alone seeds: a run that is resumed draws what it would have drawn.
    Call the methods in the same order on every rank.

    count: samples of this rank's share.
    key: what tells this batch from all others, such as the run's seed and the number of the batch.
    """

    def __init__(self, count: int, key: Sequence[int], module: TenfoldModule) -> None:
        self.count, self.rank, self.world_size = count, module.rank, module.world_size
        self.total = count
        if self.world_size > 1:  # alone, a device need not be waited for
            self.total = int(module.summed_over_ranks(torch.tensor(count, device=module.device)))
        seed = 0
        for part in key:
            seed = (seed * 1_000_003 + part + 1) % 2**63
        self.generator = Generator(module.device).manual_seed(seed)

    def normal(self, *shape: int) -> Tensor:
        """`[samples, *shape]` from the standard normal distribution."""
        return self._share(torch.randn, shape)

    def uniform(self, *shape: int) -> Tensor:
        """`[samples, *shape]`, uniform in [0, 1)."""
        return self._share(torch.rand, shape)

    def integers(self, high: int, *shape: int) -> Tensor:
        """`[samples, *shape]`, uniform in 0 … high - 1, of int64."""
        return self._share(lambda size, **where: torch.randint(high, size, **where), shape)

    def _share(self, draw: Callable[..., Tensor], shape: tuple[int, ...]) -> Tensor:
        whole = draw((self.total, *shape), generator=self.generator, device=self.generator.device)
        return whole[self.rank :: self.world_size]
