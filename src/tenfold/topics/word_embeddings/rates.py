"""Learning rates that keep a step stable however many blocks it holds."""

import torch
from torch import Tensor


class RowRates:
    r"""Step sizes :math:`-\min(\eta, c / m_w)` of each row, where :math:`m_w` updates of row w come in one step.

    A step adds up all gradients taken at the same weights. Words that are frequent, or that one passage repeats, get
    hundreds of them, and their row overshoots once :math:`\eta m_w \lVert h \rVert^2 / 4 > 2`; the limit touches only
    those rows.

    rows: of the table; cap: :math:`c`.
    """

    def __init__(self, learning_rate: float, cap: float, rows: int, like: Tensor) -> None:
        self.learning_rate, self.cap = learning_rate, cap
        self.updates = like.new_zeros(rows)

    def __call__(self, rows: Tensor, updates: Tensor) -> Tensor:
        """Step sizes of `rows` [n], which get `updates` [n] (a row may come twice) in this step, [n, 1]."""
        self.updates.index_add_(0, rows, updates)
        sizes = self.cap / torch.index_select(self.updates, 0, rows)
        self.updates.index_fill_(0, rows, 0)
        return sizes.clamp_(max=self.learning_rate).neg_().unsqueeze(1)


def linear_decay(start: float, end: float, progress: float) -> float:
    """Learning rate after a share `progress` of all words, as word2vec lowers it."""
    return start + (end - start) * min(max(progress, 0.0), 1.0)
