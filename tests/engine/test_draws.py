"""Random numbers that belong to a batch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from engine.rank_cases import Noisy
from engine.toys import ToyData, difference, flat, train
from tenfold.engine.accumulation import Stepping
from tenfold.engine.draws import Draws


def share(rank: int, world_size: int, total: int) -> Any:
    """A module as `Draws` sees it, on one of the ranks that share `total` samples."""
    return SimpleNamespace(
        device=torch.device("cpu"),
        rank=rank,
        world_size=world_size,
        summed_over_ranks=lambda value: torch.tensor(total),
    )


def test_ranks_take_the_rows_that_one_process_would_draw():
    for total in (7, 8):
        whole = Draws(total, (1, 2), share(0, 1, total))
        expected = whole.normal(3), whole.uniform(), whole.integers(5, 2)
        for rank in range(2):
            part = Draws(len(range(rank, total, 2)), (1, 2), share(rank, 2, total))
            for values, rows in zip(expected, (part.normal(3), part.uniform(), part.integers(5, 2)), strict=True):
                assert torch.equal(rows, values[rank::2])


def test_keys_tell_draws_apart():
    first, same, other, swapped = (Draws(4, key, share(0, 1, 4)).normal(2) for key in ((1, 2), (1, 2), (1, 3), (2, 1)))
    assert torch.equal(first, same)
    assert not torch.equal(first, other) and not torch.equal(first, swapped)


def test_micro_batches_see_the_noise_of_the_whole_batch():
    weights = {}
    for size in (None, 1, 3):
        module = Noisy()
        torch.manual_seed(0)
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter)
        train(module, ToyData(11, 4), stepping=Stepping(micro_batch_size=size), max_epochs=2)
        weights[size] = module
    assert difference(weights[1], weights[None]) <= 1e-5
    assert difference(weights[3], weights[None]) <= 1e-5
    assert flat(weights[None]).isfinite().all()


def test_each_batch_and_each_update_of_it_has_noise_of_its_own():
    seen = []

    class Watched(Noisy):
        def draw(self, batch, draws):
            seen.append(draws.uniform()[0].item())
            return batch

        def training_step(self, batch, batch_idx):
            self.update("network", batch)
            self.update("network", batch)

    train(Watched(), ToyData(8, 4), max_epochs=2, limit_val_batches=0)
    assert len(seen) == len(set(seen)) == 8
