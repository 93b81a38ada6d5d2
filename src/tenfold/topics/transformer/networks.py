"""Two Transformers: an encoder with a decoder, for translation, and a decoder alone, for running text."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.errors import UserError
from tenfold.topics.transformer.attention import Attention, Cache, Memory, State, causal_mask, padding_mask, rotary


class FeedForward(nn.Module):
    r""":math:`W_2 \, \text{ReLU}(W_1 x)^2`, at each position alone (So et al., 2021, arXiv 2109.08668)."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.expand, self.contract = nn.Linear(dim, hidden, bias=False), nn.Linear(hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.contract(F.relu(self.expand(x)).square())


class Layer(nn.Module):
    r"""Residual steps :math:`x \leftarrow x + f(\text{norm}(x))` (pre-norm: Xiong et al., 2020, arXiv 2002.04745):
    attention to the text itself, attention to what the encoder read (where `crosses`), feed-forward.

    The last map of each step starts at zero, and so the layer as the identity. x is `[batch, time, dim]`.
    """

    def __init__(self, dim: int, num_heads: int, hidden: int, dropout: float, crosses: bool = False) -> None:
        super().__init__()
        self.norm, self.attention = nn.RMSNorm(dim, eps=1e-6), Attention(dim, num_heads, dropout)
        self.cross_norm = nn.RMSNorm(dim, eps=1e-6) if crosses else None
        self.cross_attention = Attention(dim, num_heads, dropout) if crosses else None
        self.forward_norm, self.feed_forward = nn.RMSNorm(dim, eps=1e-6), FeedForward(dim, hidden)
        self.dropout = nn.Dropout(dropout)
        for last in (self.attention.output, self.feed_forward.contract, getattr(self.cross_attention, "output", None)):
            if last is not None:
                nn.init.zeros_(last.weight)

    def forward(
        self, x: Tensor, mask: Tensor, angles: Tensor, cache: Cache | None = None, source: Memory | None = None
    ) -> Tensor:
        normed = self.norm(x)
        seen = self.attention.memory(normed, mask, angles)
        seen = seen if cache is None else cache.extended(seen)
        x = x + self.dropout(self.attention(normed, seen, angles))
        if self.cross_attention is not None and self.cross_norm is not None:
            assert source is not None
            x = x + self.dropout(self.cross_attention(self.cross_norm(x), source))
        return x + self.dropout(self.feed_forward(self.forward_norm(x)))


class Stack(nn.Module):
    """Embedded tokens through all layers, `[batch, time]` to `[batch, time, dim]`, normalised at both ends.

    `logits` scores each token of the vocabulary by its own embedding (tied weights: Press & Wolf, 2017, arXiv
    1608.05859).
    """

    def __init__(
        self, vocab_size: int, dim: int, num_layers: int, num_heads: int, hidden: int, dropout: float, crosses: bool
    ) -> None:
        super().__init__()
        if dim % (2 * num_heads):
            raise UserError(f"model.network.dim: found {dim}, expected a multiple of {2 * num_heads} (twice num_heads)")
        self.head_dim = dim // num_heads
        self.embedding = nn.Embedding(vocab_size, dim)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.layers = nn.ModuleList(Layer(dim, num_heads, hidden, dropout, crosses) for _ in range(num_layers))
        self.embedding_norm, self.norm = nn.RMSNorm(dim, eps=1e-6), nn.RMSNorm(dim, eps=1e-6)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, tokens: Tensor, mask: Tensor, state: State | None = None, sources: list[Memory] | None = None
    ) -> Tensor:
        """With a state, `tokens` follow those that it has seen, and it goes on to keep them."""
        start = 0 if state is None else state.length
        positions = torch.arange(start, start + tokens.shape[1], device=tokens.device)
        x = self.dropout(self.embedding_norm(self.embedding(tokens)))
        angles = rotary(positions, self.head_dim, x.dtype)
        for index, layer in enumerate(self.layers):
            cache = None if state is None else state.caches[index]
            x = layer(x, mask, angles, cache, None if sources is None else sources[index])
        if state is not None:
            state.length += tokens.shape[1]
        return self.norm(x)

    def attentions(self) -> list[Attention]:
        """Of each layer, to the text itself."""
        return [cast(Layer, layer).attention for layer in self.layers]

    def cross_attentions(self) -> list[Attention]:
        """Of each layer, to the source; none where there is none."""
        found = [cast(Layer, layer).cross_attention for layer in self.layers]
        return [attention for attention in found if attention is not None]

    def logits(self, states: Tensor) -> Tensor:
        return F.linear(states, self.embedding.weight)


class Decoder(nn.Module):
    """A language model: tokens `[batch, time]` to logits `[batch, time, vocab_size]`; those at t are for the token at
    t + 1 and see the `window` tokens up to t, hence no padding after a text.

    Positions are relative, so a text may be of any length; a window as long as the training blocks lets the model see
    no further than it has learned to.

    hidden: width of the feed-forward layers; None: four times `dim`.
    """

    def __init__(
        self,
        vocab_size: int,
        dim: int = 128,
        num_layers: int = 4,
        num_heads: int = 4,
        hidden: int | None = None,
        dropout: float = 0.1,
        window: int = 256,
    ) -> None:
        super().__init__()
        self.window = window
        self.stack = Stack(vocab_size, dim, num_layers, num_heads, hidden or 4 * dim, dropout, crosses=False)

    def forward(self, tokens: Tensor) -> Tensor:
        time = tokens.shape[1]
        return self.stack.logits(self.stack(tokens, causal_mask(time, time, self.window, tokens.device)))

    def begin(self) -> State:
        """The state before the first token."""
        return State(len(self.stack.layers), self.window)

    def advance(self, tokens: Tensor, state: State) -> Tensor:
        """The logits of `forward` for tokens `[batch, time]` that follow those that the state has seen."""
        return self.stack.logits(self.stack(tokens, state.mask(tokens.shape[1], tokens.device), state))


class EncoderDecoder(nn.Module):
    """A translator: source `[batch, source_time]` and target `[batch, time]`, both filled up at the end with
    `padding_idx`, to logits `[batch, time, target_vocab_size]`; those at t are for the target's token at t + 1.

    hidden: width of the feed-forward layers; None: four times `dim`.
    """

    def __init__(
        self,
        source_vocab_size: int,
        target_vocab_size: int,
        padding_idx: int = 0,
        dim: int = 128,
        encoder_layers: int = 2,
        decoder_layers: int = 2,
        num_heads: int = 4,
        hidden: int | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.padding_idx, hidden = padding_idx, hidden or 4 * dim
        self.encoder = Stack(source_vocab_size, dim, encoder_layers, num_heads, hidden, dropout, crosses=False)
        self.decoder = Stack(target_vocab_size, dim, decoder_layers, num_heads, hidden, dropout, crosses=True)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        time = target.shape[1]
        mask = causal_mask(time, time, None, target.device)
        return self.decoder.logits(self.decoder(target, mask, sources=self.read(source)))

    def read(self, source: Tensor) -> list[Memory]:
        """The encoder's output as keys and values of each of the decoder's layers."""
        mask = padding_mask(source, self.padding_idx)
        states = self.encoder(source, mask)
        return [attention.memory(states, mask) for attention in self.decoder.cross_attentions()]

    def begin(self, source: Tensor) -> State:
        """The state before the first token of the source's translation."""
        return State(len(self.decoder.layers), sources=self.read(source))

    def advance(self, tokens: Tensor, state: State) -> Tensor:
        """The logits of `forward` for target tokens `[batch, time]` that follow those that the state has seen."""
        mask = state.mask(tokens.shape[1], tokens.device)
        return self.decoder.logits(self.decoder(tokens, mask, state, state.sources))
