"""Products with sparse matrices, kept in compressed rows."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def multiply(matrix: Tensor, x: Tensor) -> Tensor:
    """A sparse matrix times a dense one, in float32 at least: sparse products of half precision are not to be had
    everywhere, and lose small weights."""
    with torch.autocast(x.device.type, enabled=False):
        return matrix @ x


class Product(torch.autograd.Function):
    """matrix @ x, whose gradient is transposed @ gradient: torch's own would transpose anew in every step."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:  # type: ignore[override]
        ctx.transposed = transposed
        return multiply(matrix, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return multiply(ctx.transposed, gradient.to(ctx.transposed.dtype)), None, None


@contextlib.contextmanager
def lasting() -> Iterator[None]:
    """What is worked out here once, perhaps in an evaluation, may take part in a training step later."""
    with torch.inference_mode(False), torch.no_grad():
        yield


def compressed(rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """The matrix with these entries."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls compressed rows a beta, once a process
        return torch.sparse_coo_tensor(torch.stack([rows, columns]), values, shape).coalesce().to_sparse_csr()


class SparseFeatures:
    """Features `[nodes, features]` few of which are not 0, such as counts of words: a layer's product with them, and
    dropout of them, touches those few only."""

    def __init__(self, forward: Tensor, backward: Tensor, order: Tensor) -> None:
        self.forward, self.backward = forward, backward  # compressed rows of the features, and of their transpose
        self.order = order  # of the values in `forward`, as they stand in `backward`

    @classmethod
    def of(cls, dense: Tensor) -> SparseFeatures:
        with lasting():
            rows, columns = dense.nonzero().T
            shape = dense.shape[0], dense.shape[1]
            forward = compressed(rows, columns, dense[rows, columns], shape)
            numbers = torch.arange(1, len(rows) + 1, device=dense.device)
            order = compressed(columns, rows, numbers, (shape[1], shape[0])).values() - 1
            backward = compressed(columns, rows, dense[rows, columns], (shape[1], shape[0]))
            return cls(forward, backward, order)

    @property
    def shape(self) -> torch.Size:
        return self.forward.shape

    def dropped(self, probability: float) -> SparseFeatures:
        """Each value 0 with this probability, the others the larger for it."""
        values = F.dropout(self.forward.values(), probability)
        pairs = ((self.forward, values), (self.backward, values[self.order]))
        forward, backward = (_refilled(matrix, new) for matrix, new in pairs)
        return SparseFeatures(forward, backward, self.order)

    def __matmul__(self, weight: Tensor) -> Tensor:
        """`[nodes, out]` of a weight `[features, out]`, to which gradients flow."""
        return Product.apply(weight, self.forward, self.backward)  # type: ignore[return-value]


def _refilled(matrix: Tensor, values: Tensor) -> Tensor:
    places = matrix.crow_indices(), matrix.col_indices()
    return torch.sparse_csr_tensor(*places, values, matrix.shape, check_invariants=False)
