"""Class labels: stratified splits, checks of a training split, and the answer of the majority."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from tenfold.errors import UserError, nearest

IMBALANCE = 10  # largest to smallest class above which a person is warned


def stratified(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Share the samples out: `(rest, part)`, sorted indices, `part` having round(fraction · samples) of them.

    Every class has its share in both, to within one sample; the only sample of a class stays in `rest`.
    """
    order, total = _by_class(labels, seed), len(labels)
    position, size = torch.arange(total), round(fraction * total)
    chosen = (position + 1) * size // total > position * size // total
    chosen &= labels.bincount()[labels[order]] > 1
    return order[~chosen].sort().values, order[chosen].sort().values


def stratified_fold(labels: Tensor, num_folds: int, fold: int, seed: int) -> tuple[Tensor, Tensor]:
    """`(rest, part)`, sorted indices, where `part` is number `fold` of `num_folds` parts that make up all samples."""
    if not 0 <= fold < num_folds:
        raise UserError(f"data.fold: found {fold}, expected 0 to {num_folds - 1}")
    order = _by_class(labels, seed)
    chosen = torch.arange(len(labels)) % num_folds == fold
    return order[~chosen].sort().values, order[chosen].sort().values


def _by_class(labels: Tensor, seed: int) -> Tensor:
    """All samples, class by class, in random order within each: every k-th of them is a stratified sample."""
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return shuffled[labels[shuffled].argsort(stable=True)]


def check_fraction(key: str, fraction: float) -> None:
    if not 0 <= fraction < 1:
        raise UserError(f"{key}: found {fraction}, expected at least 0 and less than 1")


def check_fractions(val_fraction: float, test_fraction: float) -> None:
    """What is kept apart for validation and test; something must be left to train on."""
    check_fraction("data.val_fraction", val_fraction)
    check_fraction("data.test_fraction", test_fraction)
    check_fraction("data.val_fraction + data.test_fraction", val_fraction + test_fraction)


def check_classes(labels: Tensor, class_names: Sequence[str]) -> None:
    """Refuse training labels of a single class; warn, in one line, where the classes are of very unequal size."""
    if not len(labels):
        raise UserError("data: the train split is empty, expected at least one sample")
    counts = labels.bincount(minlength=len(class_names))
    largest, smallest = int(counts.argmax()), int(counts.argmin())
    if counts.count_nonzero() < 2:
        raise UserError(
            f"data: all {len(labels)} samples are of one class ({class_names[largest]!r}), expected two classes or more"
        )
    if counts[largest] > IMBALANCE * counts[smallest]:
        rank_zero_warn(
            f"data: imbalanced classes: {counts[largest]} training samples of {class_names[largest]!r}, "
            f"{counts[smallest]} of {class_names[smallest]!r}; read the macro F1 beside the accuracy"
        )


def majority_baseline(train_labels: Tensor, labels: Tensor) -> dict[str, float]:
    """Accuracy and macro F1 of answering the largest training class whatever the input.

    With accuracy a, that class has F1 2a / (1 + a), every other class that occurs has 0.
    """
    majority = train_labels.bincount().argmax()
    accuracy = (labels == majority).double().mean().item()
    classes = len(torch.cat([labels, majority.view(1)]).unique())
    return {"accuracy": accuracy, "f1_macro": 2 * accuracy / (1 + accuracy) / classes}


def asked_labels(n: int, condition: str | int | None, class_names: Sequence[str]) -> Tensor:
    """The class of each of n samples that `tenfold predict` is asked for, `[n]`; None: all classes in turn. Raises
    `UserError` for a class that is not there."""
    if condition is None:
        return torch.arange(n) % len(class_names)
    name = str(condition)  # Hydra reads 7 as a number
    if name not in class_names:
        known = ", ".join(class_names) if len(class_names) <= 12 else f"one of {len(class_names)} classes"
        raise UserError(f"condition: found {name!r}, expected {known}{nearest(name, class_names)}")
    return torch.full((n,), list(class_names).index(name))
