"""Learning rates that keep a step stable however many blocks it holds."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Rates:
    r"""Step sizes :math:`-\min(\eta, c / m_w)` of each row, where :math:`m_w` updates of row w are expected in one
    step.

    A step adds up all gradients taken at the same weights. Frequent words get hundreds of them, and their row
    overshoots once :math:`\eta m_w \lVert h \rVert^2 / 4 > 2`; the limit touches only those rows. `input_limit` and
    `output_limit` [rows] are :math:`c / m_w`.
    """

    learning_rate: float
    input_limit: Tensor
    output_limit: Tensor

    def inputs(self, words: Tensor) -> Tensor:
        return torch.embedding(self.input_limit.view(-1, 1), words).squeeze(-1).clamp_(max=self.learning_rate).neg_()

    def outputs(self, rows: Tensor) -> Tensor:
        return self.output_limit[rows].clamp_(max=self.learning_rate).neg_()


def linear_decay(start: float, end: float, progress: float) -> float:
    """Learning rate after a share `progress` of all words, as word2vec lowers it."""
    return start + (end - start) * min(max(progress, 0.0), 1.0)
