"""Attention, with rotary positions and a cache for decoding step by step."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Memory(NamedTuple):
    """What queries attend to: keys and values `[batch, heads, keys, head_dim]`, and which of them each may see."""

    keys: Tensor
    values: Tensor
    mask: Tensor  # [batch or 1, 1, queries or 1, keys], true where visible


class Attention(nn.Module):
    r"""Multi-head scaled dot-product attention (Vaswani et al., 2017, arXiv 1706.03762),

    .. math:: \text{softmax}\left(\frac{Q K^\top}{\sqrt{d}} + M\right) V, \qquad Q = x W_Q, \; K = m W_K, \; V = m W_V,

    in `num_heads` slices of width d each; M is 0 where the mask is true and :math:`-\infty` elsewhere. Each query and
    key is normalised to a learned scale (Henry et al., 2020, arXiv 2010.04245), which bounds the logits.

    x `[batch, time, dim]`; m, from which `memory` takes keys and values, `[batch, keys, dim]`. With `angles`, queries
    and keys are turned by their positions (see `rotary`).
    """

    def __init__(self, dim: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.queries, self.keys, self.values = (nn.Linear(dim, dim, bias=False) for _ in range(3))
        self.query_norm, self.key_norm = (nn.RMSNorm(dim // num_heads, eps=1e-6) for _ in range(2))
        self.output = nn.Linear(dim, dim, bias=False)

    def memory(self, m: Tensor, mask: Tensor, angles: Tensor | None = None) -> Memory:
        keys = self.key_norm(self._heads(self.keys(m)))
        return Memory(keys if angles is None else rotated(keys, angles), self._heads(self.values(m)), mask)

    def forward(self, x: Tensor, memory: Memory, angles: Tensor | None = None) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(self._queries(x, angles), *memory, dropout_p=dropout)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def probabilities(self, x: Tensor, memory: Memory, angles: Tensor | None = None) -> Tensor:
        """What each position attends to, `[batch, heads, time, keys]`: for pictures, as `forward` never holds it."""
        logits = self._queries(x, angles) @ memory.keys.mT * memory.keys.shape[-1] ** -0.5
        return logits.masked_fill(~memory.mask, -torch.inf).softmax(-1)

    def _queries(self, x: Tensor, angles: Tensor | None) -> Tensor:
        queries = self.query_norm(self._heads(self.queries(x)))
        return queries if angles is None else rotated(queries, angles)

    def _heads(self, states: Tensor) -> Tensor:
        return states.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


class Cache:
    """The keys and values `[batch, heads, time, head_dim]` that one layer keeps while a text is decoded: those of the
    latest `window` tokens (None: of all)."""

    def __init__(self, window: int | None = None) -> None:
        self.window = window
        self.kept: tuple[Tensor, Tensor] | None = None

    def extended(self, new: Memory) -> Memory:
        """All that the new tokens may see: what is kept, and themselves; `new.mask` is for both."""
        keys, values = new.keys, new.values
        if self.kept is not None:
            keys, values = torch.cat([self.kept[0], keys], 2), torch.cat([self.kept[1], values], 2)
        start = 0 if self.window is None else max(0, keys.shape[2] - self.window)
        self.kept = keys[:, :, start:], values[:, :, start:]
        return Memory(keys, values, new.mask)


class State:
    """What decoding keeps from one step to the next: a cache for each layer, and the source as each layer sees it."""

    def __init__(self, num_layers: int, window: int | None = None, sources: list[Memory] | None = None) -> None:
        self.caches, self.sources = [Cache(window) for _ in range(num_layers)], sources
        self.window, self.length = window, 0  # length: tokens seen

    def mask(self, new: int, device: torch.device) -> Tensor:
        """Of `new` tokens to those that are kept, and to themselves."""
        kept = self.length if self.window is None else min(self.length, self.window)
        return causal_mask(new, kept + new, self.window, device)

    def reorder(self, rows: Tensor) -> None:
        """Go on with the samples `rows` `[batch]`, some of them repeated or left out, as beam search chooses."""
        for cache in self.caches:
            if cache.kept is not None:
                cache.kept = cache.kept[0][rows], cache.kept[1][rows]
        if self.sources is not None:
            self.sources = [Memory(*(tensor[rows] for tensor in source)) for source in self.sources]


def rotary(positions: Tensor, head_dim: int, dtype: torch.dtype, base: float = 10_000.0) -> Tensor:
    r"""Cosines and sines `[2, time, head_dim / 2]` of the angles :math:`p \cdot base^{-2i/d}` (Su et al., 2021, arXiv
    2104.09864): once both are turned, a query's product with a key depends on their distance only."""
    wide = torch.promote_types(dtype, torch.float32)
    steps = torch.arange(0, head_dim, 2, device=positions.device, dtype=wide)
    angles = positions.to(wide).unsqueeze(1) * base ** (-steps / head_dim)
    return torch.stack([angles.cos(), angles.sin()]).to(dtype)


def rotated(states: Tensor, angles: Tensor) -> Tensor:
    """Each pair (x_i, x_{i + d/2}) of `[batch, heads, time, head_dim]` turned by its angle."""
    first, second = states.chunk(2, dim=-1)
    cosine, sine = angles[0], angles[1]
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


def padding_mask(tokens: Tensor, padding_idx: int) -> Tensor:
    """`[batch, 1, 1, time]`: all see what is no padding. A row of padding only sees all of it: a softmax over nothing
    is not a number."""
    inside = tokens != padding_idx
    return (inside | ~inside.any(1, keepdim=True))[:, None, None]


def causal_mask(queries: int, keys: int, window: int | None, device: torch.device) -> Tensor:
    """`[1, 1, queries, keys]` for the last `queries` of `keys` tokens: each sees itself and those before it, `window`
    tokens in all (None: every one)."""
    behind = torch.arange(keys - queries, keys, device=device).unsqueeze(1) - torch.arange(keys, device=device)
    seen = behind >= 0
    return (seen if window is None else seen & (behind < window))[None, None]
