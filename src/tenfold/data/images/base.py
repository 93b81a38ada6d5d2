"""The part that all image data sets share: normalising and augmenting on the device, looking at samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from tenfold.data.base import DataModule, Labelled, Split
from tenfold.data.images.spec import ImageSpec, pixel_statistics
from tenfold.data.labels import check_classes, check_fraction, majority_baseline, stratified
from tenfold.data.loader import Tensors

Augment = Callable[[Tensor, Generator], Tensor]


class LabelledImages(Protocol):
    """A split: hands out `Labelled` batches of uint8 images, and has all labels at hand."""

    labels: Tensor

    def __len__(self) -> int: ...

    def fetch(self, indices: Tensor) -> Labelled: ...


class InMemory(Tensors[Labelled]):
    """Images uint8 `[samples, channels, height, width]` and labels `[samples]`."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        super().__init__(Labelled(images, labels.long()))
        self.labels = self.data.labels

    def subset(self, indices: Tensor) -> InMemory:
        return InMemory(*self.fetch(indices))


class Images(DataModule):
    """Labelled images, uint8 in memory; normalised, and in training augmented, as batches on the device.

    A subclass implements `read_splits()`.

    augment: called with each normalised training batch and a generator, gives the batch to train on; None for none.
    """

    spec_class = ImageSpec
    spec: ImageSpec
    splits: dict[str, Any]

    def __init__(self, augment: Augment | None = None, **common: Any) -> None:
        super().__init__(**common)
        self.augment = augment

    def read_splits(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The splits (`LabelledImages` by name) and the names of the classes."""
        raise NotImplementedError

    def load(self) -> None:
        splits, class_names = self.read_splits()
        train: LabelledImages = splits["train"]
        check_classes(train.labels, class_names)
        images = self.statistics_sample(train)
        channels, height, width = images.shape[1:]
        mean, std = pixel_statistics(images)
        self.spec = ImageSpec(channels, height, width, mean, std, class_names)
        self.splits = splits

    def statistics_sample(self, train: LabelledImages) -> Tensor:
        """The training images, uint8, of which mean and deviation are taken."""
        return train.fetch(torch.arange(len(train))).inputs

    def labels(self, split: Split) -> Tensor:
        """The class of every sample of a split, `[samples]`."""
        return self.splits[split].labels

    def baseline(self, split: Split) -> dict[str, float]:
        return majority_baseline(self.labels("train"), self.labels(split))

    def example(self, split: Split, index: int) -> Tensor:
        return self.splits[split].fetch(torch.tensor([index])).inputs[0]

    def on_after_batch_transfer(self, batch: Labelled, dataloader_idx: int) -> Labelled:
        images = self.spec.normalise(batch.inputs)
        if self.trainer is not None:
            if self.trainer.training and self.augment is not None and not self.overfits:
                images = self.augment(images, self._generator(images.device))
            images = self.trainer.precision_plugin.convert_input(images)  # to half, where the network is in half
        return Labelled(images, batch.labels)

    def _generator(self, device: torch.device) -> Generator:
        """Seeded by run, batch and rank, so that a run that is resumed draws what it would have drawn."""
        assert self.trainer is not None
        # Batches, not optimizer steps: the micro-batches of one step must not be augmented alike.
        batch, rank = self.trainer.fit_loop.total_batch_idx, self.trainer.global_rank
        seed = (self.seed * 1_000_003 + batch) * 1_009 + rank
        return Generator(device).manual_seed(seed % 2**63)


def hold_out(images: InMemory, val_fraction: float, seed: int) -> dict[str, InMemory]:
    """Carve the validation split, stratified, from what is there to train on; without one where the fraction is 0."""
    check_fraction("data.val_fraction", val_fraction)
    if val_fraction == 0:
        return {"train": images}
    train, val = stratified(images.labels, val_fraction, seed)
    return {"train": images.subset(train), "val": images.subset(val)}
