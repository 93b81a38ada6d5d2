"""Three networks for classification of texts: a bag of embeddings, convolutions over time, recurrence.

All take token indices `[batch, time]`, filled up at the end with `padding_idx`, and give logits `[batch, num_classes]`
that do not depend on how much padding there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from tenfold.errors import UserError
from tenfold.nn.recurrence import LSTM, looped


class BagOfEmbeddings(nn.Module):
    r"""The sum of the embeddings of all n-grams over the root of their number, then a linear map.

    .. math:: z = W \frac{1}{\sqrt{N}} \sum_{n \le \text{order}} \sum_t e_{x_t \ldots x_{t+n-1}} + b

    Single tokens have an embedding each; longer n-grams share `buckets` of them by a hash, as in fastText
    (arXiv:1607.01759), so that they need no vocabulary. The root lets a long text, which holds more evidence, be judged
    with more confidence than a mean would. In training, each n-gram is left out with probability `ngram_dropout`, as
    words are in deep averaging networks (Iyyer et al., 2015).
    """

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        padding_idx: int = 0,
        embedding_dim: int = 16,
        order: int = 3,
        buckets: int = 262_144,
        ngram_dropout: float = 0.5,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.vocab_size, self.padding_idx, self.order, self.buckets = vocab_size, padding_idx, order, buckets
        # Nearly zero at first: what a rare n-gram says then comes from the few texts it was seen in, not from chance.
        rows = vocab_size + (buckets if order > 1 else 0)
        self.embedding = _embedding(rows, embedding_dim, padding_idx, deviation=0.01)
        self.ngram_dropout = nn.Dropout(ngram_dropout)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(embedding_dim, num_classes))

    def forward(self, tokens: Tensor) -> Tensor:
        ngrams = self._ngrams(tokens)
        embedded = self.embedding(ngrams)
        kept = self.ngram_dropout((ngrams != self.padding_idx).to(embedded.dtype)).unsqueeze(1)
        return self.head((kept @ embedded).squeeze(1) / kept.sum(2).clamp(min=1).sqrt())

    def _ngrams(self, tokens: Tensor) -> Tensor:
        """Rows of the embedding `[batch, order * time]`; padding for n-grams that would reach beyond the text."""
        columns, code, following = [tokens], _hash(tokens), tokens
        for _ in range(1, self.order):
            following = functional.pad(following[:, 1:], (0, 1), value=self.padding_idx)
            code = _hash(code + following)
            bucket = self.vocab_size + code % self.buckets
            columns.append(torch.where(following != self.padding_idx, bucket, self.padding_idx))
        return torch.cat(columns, dim=1)


class TextCNN(nn.Module):
    r"""Convolutions over time, the largest response of each channel, a linear map.

    For each kernel size k, :math:`h_k = \text{ReLU}(\max_t (U_k * e)_t + b_k)` looks for patterns of k tokens;
    the logits are :math:`W [h_1; h_2; \ldots] + b`. Kim (arXiv:1408.5882).
    """

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        padding_idx: int = 0,
        embedding_dim: int = 64,
        channels: int = 64,
        kernel_sizes: Sequence[int] = (1, 2, 3, 4),
        embedding_dropout: float = 0.3,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.embedding = _embedding(vocab_size, embedding_dim, padding_idx)
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        # Padding of k tokens puts a window on nothing, with response 0, beside every text: more padding adds no other.
        self.convolutions = nn.ModuleList(
            nn.Conv1d(embedding_dim, channels, size, padding=size, bias=False) for size in kernel_sizes
        )
        self.bias = nn.Parameter(torch.zeros(channels * len(kernel_sizes)))
        self.head = nn.Sequential(nn.ReLU(), nn.Dropout(dropout), nn.Linear(len(self.bias), num_classes))

    def forward(self, tokens: Tensor) -> Tensor:
        embedded = self.embedding_dropout(self.embedding(tokens)).transpose(1, 2)
        strongest = torch.cat([convolution(embedded).amax(2) for convolution in self.convolutions], dim=1)
        return self.head(strongest + self.bias)


class TextRNN(nn.Module):
    r"""A recurrent network forwards, another backwards, the largest state of each unit, a linear map.

    :math:`z = W [\max_t \overrightarrow{h}_t; \max_t \overleftarrow{h}_t] + b`. The backward network reads each text
    reversed within its own length: unlike packed sequences, that exports to ONNX. With more layers, each direction is a
    stack of its own.
    """

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        padding_idx: int = 0,
        embedding_dim: int = 64,
        hidden_size: int = 64,
        num_layers: int = 1,
        cell: Literal["gru", "lstm"] = "gru",
        embedding_dropout: float = 0.3,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise UserError(f"cell: found {cell!r}, expected {' or '.join(CELLS)}")
        self.padding_idx = padding_idx
        self.embedding = _embedding(vocab_size, embedding_dim, padding_idx)
        self.embedding_dropout = nn.Dropout(embedding_dropout)
        between = dropout if num_layers > 1 else 0.0
        self.forwards, self.backwards = (
            CELLS[cell](embedding_dim, hidden_size, num_layers, batch_first=True, dropout=between) for _ in range(2)
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * hidden_size, num_classes))

    def forward(self, tokens: Tensor) -> Tensor:
        inside = tokens != self.padding_idx
        embedded = self.embedding_dropout(self.embedding(tokens))
        order = _reversal(inside).unsqueeze(2).expand_as(embedded)
        pair = (self.forwards, embedded), (self.backwards, embedded.gather(1, order))
        exporting = torch.compiler.is_exporting()
        states = torch.cat([looped(cell, x) if exporting else cell(x)[0] for cell, x in pair], dim=2)
        # States are above -1; a text of padding only has the state of no text rather than a maximum over nothing.
        return self.head(states.masked_fill(~inside.unsqueeze(2), -1.0).amax(1))


CELLS: dict[str, type[nn.GRU] | type[nn.LSTM]] = {"gru": nn.GRU, "lstm": LSTM}


def _hash(codes: Tensor) -> Tensor:
    """Lehmer's generator: numbers below 2³¹, scattered; the product stays within int64, and ONNX has the operators."""
    return codes * 1_566_083_941 % (2**31 - 1)


def _embedding(vocab_size: int, embedding_dim: int, padding_idx: int, deviation: float = 0.1) -> nn.Embedding:
    embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx)
    with torch.no_grad():
        embedding.weight.mul_(deviation)
    return embedding


def _reversal(inside: Tensor) -> Tensor:
    """The positions `[batch, time]` that turn each text round and leave its padding at the end."""
    steps = torch.arange(inside.shape[1], device=inside.device)
    lengths = inside.sum(1, keepdim=True)
    return torch.where(inside, lengths - 1 - steps, steps)
