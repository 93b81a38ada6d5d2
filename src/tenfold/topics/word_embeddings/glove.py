r"""GloVe (Pennington et al. 2014): a weighted least-squares fit of log co-occurrence counts, trained with AdaGrad.

.. math:: J = \sum_{ij} f(X_{ij}) \, (w_i \cdot c_j + b_i + b'_j - \log X_{ij})^2, \qquad f(x) = \min(1, (x /
x_{max})^{3/4})
"""

import torch
from torch import Tensor, nn

from tenfold.errors import check_number


class GloVe(nn.Module):
    """Word and context tables [words, channels + 1], the bias in the last column; the vectors are the sum of the
    two."""

    def __init__(self, num_words: int, channels: int = 100, x_max: float = 100.0, power: float = 0.75) -> None:
        super().__init__()
        for name, value, least in (("channels", channels, 1), ("x_max", x_max, 1), ("power", power, 0)):
            check_number(f"model.network.{name}", value, least)
        self.x_max, self.power = x_max, power
        shape = (num_words, channels + 1)
        self.words = nn.Parameter((torch.rand(shape) - 0.5) / channels)
        self.contexts = nn.Parameter((torch.rand(shape) - 0.5) / channels)
        self.register_buffer("words_square", torch.ones(shape))
        self.register_buffer("contexts_square", torch.ones(shape))

    @property
    def vectors(self) -> Tensor:
        return (self.words + self.contexts)[:, :-1].detach()

    def weight(self, counts: Tensor) -> Tensor:
        """The paper's f, of the same shape as `counts`."""
        return (counts / self.x_max).pow(self.power).clamp(max=1)

    def _errors(self, word: Tensor, context: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        score = (word[:, :-1] * context[:, :-1]).sum(-1) + word[:, -1] + context[:, -1]
        # Entries without a count are padding: their weight is 0, whatever their error.
        return score - counts.clamp(min=torch.finfo(counts.dtype).tiny).log(), self.weight(counts)

    def forward(self, rows: Tensor, columns: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Summed weighted squared error of the entries [n] and the sum of their weights; differentiable."""
        error, weight = self._errors(torch.embedding(self.words, rows), torch.embedding(self.contexts, columns), counts)
        return (weight * error * error).sum(), weight.sum()

    @torch.no_grad()
    def step(self, rows: Tensor, columns: Tensor, counts: Tensor, learning_rate: float) -> None:
        r"""One AdaGrad step on the entries [n], in place.

        The gradients of a row are added up first, :math:`G`, then :math:`S \mathrel{+}= G^2` and the row moves by
        :math:`\eta G / \sqrt{S}`: no entry moves by more than :math:`\eta`, however large the batch. As in GloVe's own
        code the factor 2 of the square is left out.
        """
        word, context = torch.embedding(self.words, rows), torch.embedding(self.contexts, columns)
        error, weight = self._errors(word, context, counts)
        slope = (error * weight).unsqueeze(1)
        word[:, -1], context[:, -1] = 1.0, 1.0
        _adagrad_rows(self.words, self.words_square, rows, context.mul_(slope), learning_rate)
        _adagrad_rows(self.contexts, self.contexts_square, columns, word.mul_(slope), learning_rate)


def _adagrad_rows(
    table: Tensor, square: Tensor | nn.Module, rows: Tensor, gradient: Tensor, learning_rate: float
) -> None:
    assert isinstance(square, Tensor)
    unique, inverse = torch.unique(rows, return_inverse=True)
    total = gradient.new_zeros(len(unique), gradient.shape[1]).index_add_(0, inverse, gradient)
    square.index_add_(0, unique, total * total)
    table.index_add_(0, unique, total.mul_(-learning_rate).div_(torch.embedding(square, unique).sqrt_()))
