"""Taggers: inputs `[batch, time, width]` of indices, as `TaggingSpec` makes them, to emissions `[batch, time, tags]`.

Index 0 in the first column is padding, at the end of a sequence; what stands there never reaches the tokens before it.
Each network holds its decoder as `decoder`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tenfold.topics.sequence_labeling.decoders import DecoderName, build_decoder

PADDING, UNKNOWN = 0, 1


class LinearTagger(nn.Module):
    r"""A weight for each tag and each string that stands at the token or within `window` of it.

    :math:`e_{t,k} = b_k + \sum_c \sum_{|o| \le w} W^{c,o}_{k, x_{t+o,c}}`. With a CRF on top this is the classic
    conditional random field over features (Lafferty et al. 2001); letters of words are left to the other columns.
    """

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
        self.window, self.num_tags = window, len(tags)
        tables = [nn.Embedding(size, (2 * window + 1) * len(tags), padding_idx=PADDING) for size in vocab_sizes]
        for table in tables:
            nn.init.zeros_(table.weight)
        self.weights = nn.ModuleList(tables)
        self.bias = nn.Parameter(torch.zeros(len(tags)))
        self.dropout = nn.Dropout(dropout)
        self.decoder = build_decoder(decoder, tags, scheme)

    def forward(self, inputs: Tensor) -> Tensor:
        says = sum(self.dropout(table(inputs[..., c])) for c, table in enumerate(self.weights))
        around = nn.functional.pad(says.unflatten(2, (-1, self.num_tags)), (0, 0, 0, 0, self.window, self.window))
        time = inputs.shape[1]
        return self.bias + sum(around[:, i : i + time, i] for i in range(2 * self.window + 1))


class TokenEmbedding(nn.Module):
    r"""A token as the embeddings of its columns and, where it has letters, what convolutions over them find.

    :math:`x_t = [E^1_{t}; \ldots; E^C_{t}; \max_i \mathrm{ReLU}(U * l_t)_i]` (Ma and Hovy, arXiv:1603.01354). In
    training, a string is taken for unknown with probability `word_dropout`, so that the embedding of the unknown is
    learnt.
    """

    def __init__(
        self,
        vocab_sizes: Sequence[int],
        num_characters: int,
        dims: Sequence[int],
        character_dim: int,
        character_channels: int,
        word_dropout: float,
    ) -> None:
        super().__init__()
        dims = [*dims, *[dims[-1]] * len(vocab_sizes)][: len(vocab_sizes)]
        self.columns = nn.ModuleList(_embedding(size, dim) for size, dim in zip(vocab_sizes, dims, strict=True))
        self.word_dropout = word_dropout
        self.out_features = sum(dims)
        self.letters: nn.Module | None = None
        if num_characters and character_channels:
            self.letters = _embedding(num_characters, character_dim)
            self.convolution = nn.Conv1d(character_dim, character_channels, 3, padding=1)
            self.out_features += character_channels

    def forward(self, inputs: Tensor) -> Tensor:
        shown = inputs[..., : len(self.columns)]
        if self.training and self.word_dropout:
            lost = torch.rand_like(shown, dtype=torch.float32) < self.word_dropout
            shown = shown.masked_fill(lost & (shown != PADDING), UNKNOWN)
        parts = [table(shown[..., c]) for c, table in enumerate(self.columns)]
        if self.letters is not None:
            parts.append(self._spelling(inputs[..., len(self.columns) :]))
        return torch.cat(parts, dim=-1)

    def _spelling(self, letters: Tensor) -> Tensor:
        assert self.letters is not None
        embedded = self.letters(letters.flatten(0, 1)).transpose(1, 2)
        found = self.convolution(embedded).relu() * (letters.flatten(0, 1) != PADDING).unsqueeze(1)
        return found.amax(2).unflatten(0, letters.shape[:2])


class RecurrentTagger(nn.Module):
    r"""A bidirectional LSTM over token embeddings, a linear map to emissions (Lample et al., arXiv:1603.01360).

    :math:`e_t = W [\overrightarrow{h}_t; \overleftarrow{h}_t] + b`. The backward LSTM reads each sequence reversed
    within its own length: no packing, so it exports. With more layers, each reads both directions of the layer below.

    embedding_dims: of the columns in order; the last one holds for the rest.
    """

    def __init__(
        self,
        vocab_sizes: Sequence[int],
        num_characters: int,
        tags: Sequence[str],
        scheme: str | None,
        decoder: DecoderName = "crf",
        embedding_dims: Sequence[int] = (100, 16),
        character_dim: int = 24,
        character_channels: int = 48,
        hidden_size: int = 128,
        num_layers: int = 1,
        word_dropout: float = 0.05,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.embedding = TokenEmbedding(
            vocab_sizes, num_characters, embedding_dims, character_dim, character_channels, word_dropout
        )
        widths = [self.embedding.out_features, *[2 * hidden_size] * (num_layers - 1)]
        self.forwards = nn.ModuleList(nn.LSTM(width, hidden_size, batch_first=True) for width in widths)
        self.backwards = nn.ModuleList(nn.LSTM(width, hidden_size, batch_first=True) for width in widths)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * hidden_size, len(tags))
        self.decoder = build_decoder(decoder, tags, scheme)

    def forward(self, inputs: Tensor) -> Tensor:
        order = _reversal(inputs[..., 0] != PADDING).unsqueeze(2)
        hidden = self.dropout(self.embedding(inputs))
        for forwards, backwards in zip(self.forwards, self.backwards, strict=True):
            turned = backwards(hidden.gather(1, order.expand_as(hidden)))[0]
            hidden = torch.cat([forwards(hidden)[0], turned.gather(1, order.expand_as(turned))], dim=2)
            hidden = self.dropout(hidden)
        return self.head(hidden)


def _embedding(size: int, dim: int) -> nn.Embedding:
    table = nn.Embedding(size, dim, padding_idx=PADDING)
    with torch.no_grad():
        table.weight.uniform_(-((3 / dim) ** 0.5), (3 / dim) ** 0.5)
        table.weight[PADDING] = 0
    return table


def _reversal(inside: Tensor) -> Tensor:
    """Positions `[batch, time]` that turn each sequence round and leave its padding at the end."""
    steps = torch.arange(inside.shape[1], device=inside.device)
    return torch.where(inside, inside.sum(1, keepdim=True) - 1 - steps, steps)
