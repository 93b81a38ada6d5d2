"""Cutting a batch into micro-batches, whatever its structure."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor

from tenfold.errors import UserError


def num_samples(batch: Any) -> int:
    """Samples in the batch: its `num_samples` where it has one, else the first dimension of its first tensor."""
    if hasattr(batch, "num_samples"):
        return batch.num_samples
    if isinstance(batch, Tensor):
        return len(batch)
    if isinstance(batch, dict):
        return num_samples(next(iter(batch.values())))
    if isinstance(batch, (tuple, list)):
        return num_samples(batch[0])
    raise TypeError(f"a batch of {type(batch).__name__} has neither num_samples nor a first tensor")


def cut(batch: Any, sizes: Sequence[int]) -> list[Any]:
    """The batch as consecutive micro-batches of the given sizes in samples.

    Tensors in named tuples, tuples, lists and dicts are cut along their first dimension. A batch whose samples hang
    together otherwise (a graph, packed sequences) implements `cut(sizes)` itself; the sums that a module's `losses`
    takes over the parts must add up to the sum over the whole.
    """
    if hasattr(batch, "cut"):
        return batch.cut(sizes)
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [_slice(batch, slice(start, start + size)) for start, size in zip(starts, sizes, strict=True)]


def equal_sizes(total: int, size: int) -> list[int]:
    """`total` samples in micro-batches of `size`, the last one holding the rest."""
    return [size] * (total // size) + ([total % size] if total % size else [])


@contextlib.contextmanager
def refusing_one_for_batch_norm() -> Iterator[None]:
    """Where BatchNorm meets a training batch of one value a channel, which has no variance, raise `UserError`."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise UserError(
            "data.batch_size: leaves a batch of one sample, of which BatchNorm can learn nothing; "
            "expected another size, data.last_batch=drop, or trainer.micro_batch_size above 1"
        ) from error


def _slice(batch: Any, part: slice) -> Any:
    return _map_tensors(batch, lambda tensor: tensor[part])


def _map_tensors(batch: Any, function: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(batch, Tensor):
        return function(batch)
    if isinstance(batch, dict):
        return {key: _map_tensors(value, function) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(_map_tensors(value, function) for value in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(_map_tensors(value, function) for value in batch)
    return batch
