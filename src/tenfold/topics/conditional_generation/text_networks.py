"""Two language models that know the class of the text: recurrent, and a Transformer.

Both map tokens `[batch, time]` and labels `[batch]` to logits `[batch, time, vocab_size]`; those at t are for the token
that follows `tokens[:, : t + 1]`. The label `num_classes` is the empty condition. `states` stops before the last layer,
`logits` is that layer. `begin` and `advance` are the same network, a few tokens at a time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.errors import UserError
from tenfold.nn.recurrence import looped
from tenfold.topics.transformer.attention import State, causal_mask, rotary
from tenfold.topics.transformer.networks import Layer


class ConditionalGRU(nn.Module):
    """A GRU that is shown the label's embedding beside each token's, at every step.

    embedding_dim: of tokens and labels; the last layer shares the tokens' (tied weights, arXiv 1608.05859).
    """

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        embedding_dim: int = 128,
        hidden_size: int = 256,
        num_layers: int = 1,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.embedding = _embedding(vocab_size, embedding_dim)
        self.label = _embedding(num_classes + 1, embedding_dim, deviation=1.0)
        between = dropout if num_layers > 1 else 0.0
        self.recurrence = nn.GRU(2 * embedding_dim, hidden_size, num_layers, batch_first=True, dropout=between)
        self.narrow = nn.Linear(hidden_size + embedding_dim, embedding_dim)
        self.dropout = nn.Dropout(dropout)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, tokens: Tensor, labels: Tensor) -> Tensor:
        return self.logits(self.states(tokens, labels))

    def states(self, tokens: Tensor, labels: Tensor) -> Tensor:
        return self._run(tokens, labels, None)[0]

    def logits(self, states: Tensor) -> Tensor:
        return F.linear(states, self.embedding.weight, self.bias)

    def _run(self, tokens: Tensor, labels: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor | None]:
        label = self.label(labels).unsqueeze(1).expand(-1, tokens.shape[1], -1)
        inputs = torch.cat([self.dropout(self.embedding(tokens)), label], 2)
        if torch.compiler.is_exporting():
            outputs = looped(self.recurrence, inputs)
        else:
            outputs, hidden = self.recurrence(inputs, hidden)
        return self.narrow(torch.cat([self.dropout(outputs), label], 2)), hidden

    def begin(self, labels: Tensor) -> GRUState:
        return GRUState(labels, None)

    def advance(self, tokens: Tensor, state: GRUState) -> tuple[Tensor, GRUState]:
        """The logits of `forward` for tokens that follow those that the state has seen, and the state after them."""
        states, hidden = self._run(tokens, state.labels, state.hidden)
        return self.logits(states), GRUState(state.labels, hidden)


class GRUState(NamedTuple):
    """labels `[batch]`; hidden `[layers, batch, hidden_size]`, None before the first token."""

    labels: Tensor
    hidden: Tensor | None


class ConditionalTransformer(nn.Module):
    """A Transformer decoder to which the label is added twice: to the tokens, and to the states that score the next.

    Positions are relative (rotary), so that a text may be of any length.

    hidden: width of the feed-forward layers; None: four times `dim`.
    """

    def __init__(
        self,
        vocab_size: int,
        num_classes: int,
        dim: int = 128,
        num_layers: int = 4,
        num_heads: int = 4,
        hidden: int | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if dim % (2 * num_heads):
            raise UserError(f"model.network.dim: found {dim}, expected a multiple of {2 * num_heads} (twice num_heads)")
        self.head_dim = dim // num_heads
        self.embedding = _embedding(vocab_size, dim)
        self.label = _embedding(num_classes + 1, 2 * dim, deviation=0.5)
        self.embedding_norm, self.norm = nn.RMSNorm(dim, eps=1e-6), nn.RMSNorm(dim, eps=1e-6)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(Layer(dim, num_heads, hidden or 4 * dim, dropout) for _ in range(num_layers))

    def forward(self, tokens: Tensor, labels: Tensor) -> Tensor:
        return self.logits(self.states(tokens, labels))

    def states(self, tokens: Tensor, labels: Tensor) -> Tensor:
        time = tokens.shape[1]
        return self._run(tokens, labels, causal_mask(time, time, None, tokens.device))

    def logits(self, states: Tensor) -> Tensor:
        return F.linear(states, self.embedding.weight)

    def _run(self, tokens: Tensor, labels: Tensor, mask: Tensor, state: State | None = None) -> Tensor:
        start = 0 if state is None else state.length
        entering, leaving = self.label(labels).unsqueeze(1).chunk(2, dim=2)
        x = self.dropout(self.embedding_norm(self.embedding(tokens)) + entering)
        angles = rotary(torch.arange(start, start + tokens.shape[1], device=tokens.device), self.head_dim, x.dtype)
        for index, layer in enumerate(self.layers):
            x = layer(x, mask, angles, None if state is None else state.caches[index])
        return self.norm(x + leaving)

    def begin(self, labels: Tensor) -> Any:
        return labels, State(len(self.layers))

    def advance(self, tokens: Tensor, state: tuple[Tensor, State]) -> tuple[Tensor, Any]:
        """The logits of `forward` for tokens that follow those that the state has seen, and the state after them."""
        labels, kept = state
        states = self._run(tokens, labels, kept.mask(tokens.shape[1], tokens.device), kept)
        kept.length += tokens.shape[1]
        return self.logits(states), (labels, kept)


def _embedding(rows: int, dim: int, deviation: float = 0.02) -> nn.Embedding:
    embedding = nn.Embedding(rows, dim)
    nn.init.normal_(embedding.weight, std=deviation)
    return embedding
