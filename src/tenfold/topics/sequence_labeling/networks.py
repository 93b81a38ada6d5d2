"""Taggers: inputs `[batch, time, width]` of indices, as `TaggingSpec` makes them, to emissions `[batch, time, tags]`.

Index 0 in the first column is padding, at the end of a sequence; what stands there never reaches the tokens before it.
Each network holds its decoder as `decoder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tenfold.errors import check_number
from tenfold.nn.recurrence import LSTM
from tenfold.topics.sequence_labeling.decoders import DecoderName, build_decoder
from tenfold.topics.sequence_labeling.embedding import PADDING, TokenNetwork, reversal


class WindowFeatures(nn.Module):
    r"""A weight for each tag and each string that stands at the token or within `window` of it.

    :math:`e_{t,k} = \sum_c \sum_{|o| \le w} W^{c,o}_{k, x_{t+o,c}}`: indices `[batch, time, width]`, of which the
    columns are read, to `[batch, time, tags]`.
    """

    def __init__(self, vocab_sizes: Sequence[int], num_tags: int, window: int, dropout: float) -> None:
        super().__init__()
        check_number("model.network.window", window, 0)
        self.window, self.num_tags = window, num_tags
        tables = [nn.Embedding(size, (2 * window + 1) * num_tags, padding_idx=PADDING) for size in vocab_sizes]
        for table in tables:
            nn.init.zeros_(table.weight)
        self.weights = nn.ModuleList(tables)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor) -> Tensor:
        says = sum(self.dropout(table(inputs[..., c])) for c, table in enumerate(self.weights))
        around = nn.functional.pad(says.unflatten(2, (-1, self.num_tags)), (0, 0, 0, 0, self.window, self.window))
        time = inputs.shape[1]
        return torch.stack([around[:, i : i + time, i] for i in range(2 * self.window + 1)]).sum(0)


class LinearTagger(nn.Module):
    """`WindowFeatures` and a bias. With a CRF on top, the conditional random field of Lafferty et al. (2001)."""

    def __init__(
        self,
        vocab_sizes: Sequence[int],
        tags: Sequence[str],
        scheme: str | None,
        decoder: DecoderName = "crf",
        window: int = 2,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.features = WindowFeatures(vocab_sizes, len(tags), window, dropout)
        self.bias = nn.Parameter(torch.zeros(len(tags)))
        self.decoder = build_decoder(decoder, tags, scheme)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.bias + self.features(inputs)


class RecurrentTagger(TokenNetwork):
    r"""A bidirectional LSTM over token embeddings, a linear map to emissions (Lample et al., arXiv:1603.01360).

    :math:`e_t = W [\overrightarrow{h}_t; \overleftarrow{h}_t] + b`, and on top of it, with a `window`, what
    `WindowFeatures` say. The backward LSTM reads each sequence reversed within its own length: no packing, so it
    exports. With more layers, each reads both directions of the layer below.

    window: tokens on either side whose strings have weights of their own; null for no such features.
    """

    def __init__(
        self,
        vocab_sizes: Sequence[int],
        tags: Sequence[str],
        scheme: str | None,
        decoder: DecoderName = "crf",
        hidden_size: int = 128,
        num_layers: int = 1,
        window: int | None = None,
        dropout: float = 0.5,
        **tokens: Any,
    ) -> None:
        super().__init__(vocab_sizes, **tokens)
        widths = [self.embedding.out_features, *[2 * hidden_size] * (num_layers - 1)]
        self.forwards = nn.ModuleList(LSTM(width, hidden_size, batch_first=True) for width in widths)
        self.backwards = nn.ModuleList(LSTM(width, hidden_size, batch_first=True) for width in widths)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * hidden_size, len(tags))
        self.features = None if window is None else WindowFeatures(vocab_sizes, len(tags), window, dropout)
        self.decoder = build_decoder(decoder, tags, scheme)

    def forward(self, inputs: Tensor) -> Tensor:
        order = reversal(inputs[..., 0] != PADDING).unsqueeze(2)
        hidden = self.dropout(self.embedding(inputs))
        for forwards, backwards in zip(self.forwards, self.backwards, strict=True):
            turned = backwards(hidden.gather(1, order.expand_as(hidden)))[0]
            hidden = torch.cat([forwards(hidden)[0], turned.gather(1, order.expand_as(turned))], dim=2)
            hidden = self.dropout(hidden)
        emissions = self.head(hidden)
        return emissions if self.features is None else emissions + self.features(inputs)
