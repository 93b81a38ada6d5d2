"""Which samples make each batch, and the loader that fetches whole batches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, Generic, Literal, Protocol, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from tenfold.errors import UserError

Batch = TypeVar("Batch", covariant=True)
LastBatch = Literal["short", "drop", "carry"]


class Fetchable(Protocol[Batch]):
    """A data set that hands out whole batches."""

    def __len__(self) -> int: ...

    def fetch(self, indices: Tensor) -> Batch:
        """The batch of the samples `indices` `[batch]`."""
        ...


class Tensors(Generic[Batch]):
    """A data set of tensors that share their first dimension, held in one named tuple.

    `fetch` slices each tensor once a batch; nothing is collated sample by sample.
    """

    def __init__(self, data: Any) -> None:
        sizes = {len(tensor) for tensor in data}
        if len(sizes) != 1:
            raise ValueError(f"the tensors differ in length: {sorted(sizes)}")
        self.data = data

    def __len__(self) -> int:
        return len(self.data[0])

    def fetch(self, indices: Tensor) -> Batch:
        return type(self.data)(*(tensor[indices] for tensor in self.data))


class BatchOrder:
    """The index batches of every epoch: shuffled, bucketed by length, shared out among ranks.

    All ranks draw the same order from `(seed, epoch)`; rank r takes every `world_size`-th sample of each batch, so the
    union over ranks is the batch that one process would see. `batch_size` counts the samples of all ranks together.

    `last_batch` says what becomes of the short batch at the end of an epoch: `short` (yielded as it is), `drop`, or
    `carry` (held back and joined with the first samples of the next epoch, so that every batch is full; every epoch has
    as many batches). With `lengths` `[samples]`, batches are made of neighbours in length within random pools, which
    saves padding. With `repeat` every epoch is the first one over again.
    """

    pool = 50  # batches in a bucketing pool: enough to find like lengths, few enough to stay random

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        last_batch: LastBatch = "short",
        lengths: Sequence[int] | Tensor | None = None,
        repeat: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.num_samples, self.batch_size = num_samples, batch_size
        self.shuffle, self.seed, self.last_batch = shuffle, seed, last_batch
        self.lengths = None if lengths is None else torch.as_tensor(lengths)
        self.repeat = repeat
        self.rank, self.world_size = rank, world_size

    def num_batches(self, epoch: int) -> int:
        start, stop = self._span(epoch)
        return math.ceil((stop - start) / self.batch_size)

    def batches(self, epoch: int) -> list[Tensor]:
        """This rank's share of each batch, `[samples]` of indices; empty where a batch has fewer samples than ranks."""
        epoch = 0 if self.repeat else epoch
        samples = self._samples(epoch)
        if self.lengths is None:
            batches = list(samples.split(self.batch_size))
        else:
            batches = self._bucketed(samples, self.lengths, epoch)
        return [batch[self.rank :: self.world_size] for batch in batches]

    def _span(self, epoch: int) -> tuple[int, int]:
        """Where the epoch starts and stops in the endless stream of one permutation after the other."""
        whole = self.num_samples // self.batch_size * self.batch_size
        if self.last_batch == "carry":  # as many batches in every epoch: Lightning asks for their number but once
            return epoch * whole, (epoch + 1) * whole
        start = epoch * self.num_samples
        return start, start + (whole if self.last_batch == "drop" else self.num_samples)

    def _samples(self, epoch: int) -> Tensor:
        start, stop = self._span(epoch)
        first, last = start // self.num_samples, max(start, stop - 1) // self.num_samples
        stream = torch.cat([self._permutation(number) for number in range(first, last + 1)])
        return stream[start - first * self.num_samples : stop - first * self.num_samples]

    def _generator(self, epoch: int) -> torch.Generator:
        return torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**63)

    def _permutation(self, epoch: int) -> Tensor:
        if not self.shuffle:
            return torch.arange(self.num_samples)
        return torch.randperm(self.num_samples, generator=self._generator(epoch))

    def _bucketed(self, samples: Tensor, lengths: Tensor, epoch: int) -> list[Tensor]:
        pools = samples.split(self.batch_size * self.pool) if self.shuffle else [samples]
        by_length = (pool[lengths[pool].argsort(stable=True)] for pool in pools)
        batches = [batch for pool in by_length for batch in pool.split(self.batch_size)]
        if self.shuffle:
            batches = [batches[i] for i in torch.randperm(len(batches), generator=self._generator(epoch)).tolist()]
        return batches


class BatchLoader(Generic[Batch]):
    """Iterates over a data set a whole batch at a time, with the position kept.

    Lightning saves `state_dict()` with each checkpoint, so a run that is resumed in the middle of an epoch goes on with
    the next batch. An epoch that was left early is left behind: the next `iter()` starts the next one. `num_workers`
    processes fetch ahead where fetching is slow (files to decode); in memory, 0 is fastest.
    """

    def __init__(self, dataset: Fetchable[Batch], order: BatchOrder, num_workers: int = 0) -> None:
        self.dataset, self.order = dataset, order
        self.epoch, self.position = 0, 0  # position: batches of this epoch already given out
        self._restored = False
        self.batch_sampler = SimpleNamespace(sampler=self)  # where Lightning looks for `set_epoch`
        self._workers = self._start_workers(num_workers) if num_workers > 0 else None

    def __len__(self) -> int:
        return self.order.num_batches(self.epoch)

    def __iter__(self) -> Iterator[Batch]:
        if self.position > 0 and not self._restored:
            self.epoch, self.position = self.epoch + 1, 0
        self._restored = False
        remaining = self.order.batches(self.epoch)[self.position :]
        for batch in self._fetched(remaining):
            self.position += 1
            yield batch

    def _fetched(self, batches: list[Tensor]) -> Iterator[Batch]:
        if self._workers is None:
            yield from map(self.dataset.fetch, batches)
        else:
            self._pending[:] = batches
            for batch in self._workers:
                if isinstance(batch, UserError):
                    raise batch
                yield batch

    def _start_workers(self, num_workers: int) -> DataLoader:
        self._pending: list[Tensor] = []
        sampler = _Pending(self._pending)
        return DataLoader(
            _Fetching(self.dataset), batch_size=None, sampler=sampler, num_workers=num_workers, persistent_workers=True
        )

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning as each epoch begins; after a checkpoint of an epoch's end it restores nothing else."""
        if epoch != self.epoch:
            self.epoch, self.position = epoch, 0

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch, self.position = state["epoch"], state["position"]
        if self.position >= len(self):  # saved at the end of an epoch
            self.epoch, self.position = self.epoch + 1, 0
        self._restored = True


class _Pending(Sampler):
    """The index batches that the workers are to fetch in this epoch."""

    def __init__(self, batches: list[Tensor]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class _Fetching(Dataset):
    """Presents `fetch` as the item access that `DataLoader` workers call."""

    def __init__(self, dataset: Fetchable) -> None:
        self.dataset = dataset

    def __getitem__(self, indices: Tensor) -> Any:
        try:
            return self.dataset.fetch(indices)
        except UserError as error:  # given back, for DataLoader would put the worker's traceback into its message
            return error
