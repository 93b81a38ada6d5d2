"""A Transformer encoder as a tagger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tenfold.errors import UserError
from tenfold.topics.sequence_labeling.decoders import DecoderName, build_decoder
from tenfold.topics.sequence_labeling.embedding import PADDING, TokenNetwork


class TransformerTagger(TokenNetwork):
    r"""A Transformer encoder over token embeddings, a linear map to emissions (Vaswani et al., arXiv:1706.03762).

    :math:`h \leftarrow h + \mathrm{Attn}(\mathrm{LN}(h))`, :math:`h \leftarrow h + \mathrm{MLP}(\mathrm{LN}(h))`. A
    bias that is learnt for each head and distance, alike beyond `max_distance`, says where tokens stand (T5,
    arXiv:1910.10683): taggers live by their neighbours. A sequence longer than `span` is read in parts of that length,
    so that time and memory grow with its length and not with its square.
    """

    def __init__(
        self,
        vocab_sizes: Sequence[int],
        tags: Sequence[str],
        scheme: str | None,
        decoder: DecoderName = "crf",
        hidden_size: int = 128,
        num_layers: int = 2,
        num_heads: int = 4,
        max_distance: int = 16,
        span: int = 512,
        dropout: float = 0.2,
        **tokens: Any,
    ) -> None:
        super().__init__(vocab_sizes, **tokens)
        if hidden_size % num_heads:
            raise UserError(f"model.network.num_heads: found {num_heads}, expected a divisor of {hidden_size}")
        self.span = span
        self.enter = nn.Linear(self.embedding.out_features, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(hidden_size, num_heads, max_distance, dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(hidden_size)
        self.head = nn.Linear(hidden_size, len(tags))
        self.decoder = build_decoder(decoder, tags, scheme)

    def forward(self, inputs: Tensor) -> Tensor:
        time = inputs.shape[1]
        if time <= self.span:
            return self._emissions(inputs)
        parts = -(-time // self.span)
        padded = nn.functional.pad(inputs, (0, 0, 0, parts * self.span - time))
        read = self._emissions(padded.unflatten(1, (parts, self.span)).flatten(0, 1))
        return read.unflatten(0, (len(inputs), parts)).flatten(1, 2)[:, :time]

    def _emissions(self, inputs: Tensor) -> Tensor:
        inside = inputs[..., 0] != PADDING
        hidden = self.dropout(self.enter(self.embedding(inputs)))
        for block in self.blocks:
            hidden = block(hidden, inside)
        return self.head(self.norm(hidden))


class Block(nn.Module):
    """Attention and an MLP, `[batch, time, channels]`; padding (`inside` false, `[batch, time]`) is not seen."""

    def __init__(self, channels: int, num_heads: int, max_distance: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.max_distance = num_heads, max_distance
        self.norm = nn.LayerNorm(channels)
        self.projections = nn.Linear(channels, 3 * channels)
        self.distances = nn.Embedding(2 * max_distance + 1, num_heads)
        nn.init.zeros_(self.distances.weight)
        self.out = nn.Linear(channels, channels)
        self.mlp = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, inside: Tensor) -> Tensor:
        heads = self.projections(self.norm(hidden)).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind(0)
        weights = (query @ key.transpose(2, 3) / query.shape[3] ** 0.5 + self._bias(inside)).softmax(3)
        read = self.dropout(weights) @ value
        hidden = hidden + self.dropout(self.out(read.transpose(1, 2).flatten(2)))
        return hidden + self.dropout(self.mlp(hidden))

    def _bias(self, inside: Tensor) -> Tensor:
        """Of the distances, and against padding `[batch, heads, time, time]`; large and finite, so that a sequence
        without tokens gives no NaN."""
        steps = torch.arange(inside.shape[1], device=inside.device)
        apart = (steps - steps.unsqueeze(1)).clamp(-self.max_distance, self.max_distance) + self.max_distance
        bias = self.distances(apart).permute(2, 0, 1)
        return bias - 1e4 * (~inside).to(bias)[:, None, None, :]
