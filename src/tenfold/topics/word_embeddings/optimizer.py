"""The optimizer that says: train by sparse steps in place."""

from collections.abc import Iterable
from typing import Any

from torch.optim import Optimizer


class RowSGD(Optimizer):
    """Plain stochastic gradient descent on the rows that a step touches, as word2vec trains.

    The rows are moved by `Word2Vec`'s own steps, many in a batch; this holds the learning rate for the schedule, and
    its step only counts. With any other optimizer the same loss is trained by dense gradients of whole batches.
    """

    def __init__(self, params: Iterable[Any], lr: float = 0.025) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """The rows have moved already; what Lightning does before a step is left to do."""
        if closure is not None:
            closure()
