"""The contract of every DataModule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import lightning as L
import torch
from torch import Tensor

from tenfold.config.spec import DataSpec
from tenfold.data.loader import BatchLoader, BatchOrder, Fetchable, LastBatch
from tenfold.errors import UserError

Split = Literal["train", "val", "test"]


class Labelled(NamedTuple):
    """Inputs `[batch, ...]` and their class indices `[batch]`."""

    inputs: Tensor
    labels: Tensor


class DataModule(L.LightningDataModule):
    """A data set in three splits, with a spec from which the network is built.

    A subclass implements `load()`, which fills `splits` and `spec`; it is called once. Splits are `Fetchable` data
    sets.

    batch_size: samples that one optimizer step sees, over all devices and micro-batches.
    eval_batch_size: samples in a validation or test batch, over all devices; limits memory only, never a result.
    seed: of the order of the training samples.
    split_seed: of the split into train, val and test; apart from `seed`, so that runs over seeds share one test split.
    last_batch: what becomes of an epoch's short last batch: short, drop or carry (see `BatchOrder`).
    num_workers: processes that fetch batches ahead; 0 for data in memory.
    """

    #: The spec's class, so that a config can be checked before any data is read.
    spec_class: ClassVar[type[DataSpec]] = DataSpec

    spec: DataSpec
    splits: Mapping[str, Fetchable]

    def __init__(
        self,
        batch_size: int,
        eval_batch_size: int = 1000,
        seed: int = 1,
        split_seed: int = 0,
        last_batch: LastBatch = "short",
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        for name, size in (("data.batch_size", batch_size), ("data.eval_batch_size", eval_batch_size)):
            if size < 1:
                raise UserError(f"{name}: found {size}, expected at least 1")
        if last_batch not in ("short", "drop", "carry"):
            raise UserError(f"data.last_batch: found {last_batch!r}, expected short, drop or carry")
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.seed, self.split_seed = seed, split_seed
        self.last_batch, self.num_workers = last_batch, num_workers
        self.splits = {}

    def load(self) -> None:
        """Read the data; set `spec` and `splits`. Raises `UserError` naming the file at fault."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        self.load()
        for split in ("train", "val", "test"):
            if split in self.splits and len(self.splits[split]) == 0:
                raise UserError(f"data: the {split} split is empty, expected at least one sample")

    def sample(self, split: Split, size: int) -> Any:
        """The first `size` samples of a split as a batch ready for the network, not augmented."""
        dataset = self.splits[split]
        batch = dataset.fetch(torch.arange(min(size, len(dataset))))
        return self.on_after_batch_transfer(batch, 0)

    def labels(self, split: Split) -> Tensor:
        """Class indices `[samples]` of a split, where samples have one class each."""
        dataset: Any = self.splits[split]
        return dataset.data.labels

    def baseline(self, split: Split) -> dict[str, float]:
        """Metrics of the trivial answer (the majority class, the mean, ...), learned on train, measured on `split`."""
        return {}

    def example(self, split: Split, index: int) -> Tensor | str:
        """The sample as a person would look at it: an image `[channels, height, width]` of uint8, or a line of text."""
        raise NotImplementedError

    @property
    def overfits(self) -> bool:
        """Whether training is to see the same few batches over and over, as they are (`debug=overfit`)."""
        return self.trainer is not None and bool(self.trainer.overfit_batches)  # type: ignore[attr-defined]

    def train_dataloader(self) -> BatchLoader:
        return self._loader("train", self.batch_size, shuffle=True, last_batch=self.last_batch)

    def val_dataloader(self) -> BatchLoader | list:
        return self._loader("val", self.eval_batch_size) if "val" in self.splits else []

    def test_dataloader(self) -> BatchLoader | list:
        return self._loader("test", self.eval_batch_size) if "test" in self.splits else []

    def _loader(
        self, split: Split, batch_size: int, shuffle: bool = False, last_batch: LastBatch = "short"
    ) -> BatchLoader:
        dataset: Any = self.splits[split]
        ranks = self.trainer.world_size if self.trainer else 1
        if last_batch != "short" and len(dataset) < batch_size:
            raise UserError(
                f"data.last_batch: {last_batch} leaves no batch of {batch_size} in {len(dataset)} samples; "
                "expected short, or a smaller data.batch_size"
            )
        if not shuffle:  # whole rounds of ranks, so that gathered outputs can be put back in order
            batch_size = -(-batch_size // ranks) * ranks
        order = BatchOrder(
            len(dataset),
            batch_size,
            shuffle=shuffle,
            seed=self.seed,
            last_batch=last_batch,
            lengths=getattr(dataset, "lengths", None) if shuffle else None,  # evaluation keeps the split's order
            repeat=self.overfits,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=ranks,
        )
        return BatchLoader(dataset, order, self.num_workers)
