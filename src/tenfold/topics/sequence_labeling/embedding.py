"""From indices `[batch, time, width]`, as `TaggingSpec` makes them, to a vector for each token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from tenfold.errors import UserError, nearest
from tenfold.nn.recurrence import LSTM

PADDING, UNKNOWN = 0, 1
Speller = Literal["cnn", "lstm"]


class TokenEmbedding(nn.Module):
    r"""A token as the embeddings of its columns and, where there are, its pretrained vector and its spelling.

    :math:`x_t = [E^1_t; \ldots; E^C_t; v_t; s(l_t)]`. In training, a string is taken for unknown with probability
    `word_dropout`, so that the embedding of the unknown is learnt. The pretrained vectors `v` stay as they are: the
    embedding of the word, which is learnt, says what they lack.

    embedding_dims: of the columns in order; the last one holds for the rest.
    speller: cnn or lstm, over the embeddings of a word's letters.
    """

    def __init__(
        self,
        vocab_sizes: Sequence[int],
        num_characters: int,
        num_vectors: int,
        vector_dim: int,
        embedding_dims: Sequence[int],
        speller: Speller,
        character_dim: int,
        character_channels: int,
        word_dropout: float,
    ) -> None:
        super().__init__()
        dims = [*embedding_dims, *[embedding_dims[-1]] * len(vocab_sizes)][: len(vocab_sizes)]
        self.columns = nn.ModuleList(embedding(size, dim) for size, dim in zip(vocab_sizes, dims, strict=True))
        self.word_dropout = word_dropout
        self.vectors = nn.Embedding(num_vectors, vector_dim, padding_idx=PADDING) if num_vectors else None
        if self.vectors is not None:
            self.vectors.weight.requires_grad_(False)
        self.spelling: nn.Module | None = None
        if num_characters and character_channels:
            if speller not in SPELLERS:
                raise UserError(
                    f"model.network.speller: found {speller!r}, expected cnn or lstm{nearest(speller, SPELLERS)}"
                )
            self.spelling = SPELLERS[speller](num_characters, character_dim, character_channels)
        self.out_features = sum(dims) + vector_dim + (character_channels if self.spelling else 0)

    def forward(self, inputs: Tensor) -> Tensor:
        shown, rest = inputs[..., : len(self.columns)], inputs[..., len(self.columns) :]
        if self.training and self.word_dropout:
            lost = torch.rand_like(shown, dtype=torch.float32) < self.word_dropout
            shown = shown.masked_fill(lost & (shown != PADDING), UNKNOWN)
        parts = [table(shown[..., c]) for c, table in enumerate(self.columns)]
        if self.vectors is not None:
            parts.append(self.vectors(rest[..., 0]))
            rest = rest[..., 1:]
        if self.spelling is not None:
            parts.append(self.spelling(rest.flatten(0, 1)).unflatten(0, inputs.shape[:2]))
        return torch.cat(parts, dim=-1)


class TokenNetwork(nn.Module):
    """A network over `TokenEmbedding`, whose settings it takes as its own."""

    def __init__(
        self,
        vocab_sizes: Sequence[int],
        num_characters: int = 0,
        num_vectors: int = 0,
        vector_dim: int = 0,
        embedding_dims: Sequence[int] = (100, 16),
        speller: Speller = "cnn",
        character_dim: int = 24,
        character_channels: int = 48,
        word_dropout: float = 0.05,
    ) -> None:
        super().__init__()
        spelling = (speller, character_dim, character_channels)
        self.embedding = TokenEmbedding(
            vocab_sizes, num_characters, num_vectors, vector_dim, embedding_dims, *spelling, word_dropout
        )


class CharacterCNN(nn.Module):
    r"""What convolutions over three letters find in a word, :math:`\max_i \mathrm{ReLU}(U * l)_i` (Ma and Hovy,
    arXiv:1603.01354): letters `[words, length]` to `[words, channels]`."""

    def __init__(self, num_characters: int, dim: int, channels: int) -> None:
        super().__init__()
        self.letters = embedding(num_characters, dim)
        self.convolution = nn.Conv1d(dim, channels, 3, padding=1)

    def forward(self, letters: Tensor) -> Tensor:
        found = self.convolution(self.letters(letters).transpose(1, 2)).relu()
        return (found * (letters != PADDING).unsqueeze(1)).amax(2)


class CharacterLSTM(nn.Module):
    r"""The last states of two LSTMs that read a word from both ends, :math:`[\overrightarrow{h}; \overleftarrow{h}]`
    (Lample et al., arXiv:1603.01360): letters `[words, length]` to `[words, channels]`."""

    def __init__(self, num_characters: int, dim: int, channels: int) -> None:
        super().__init__()
        if channels % 2:
            raise UserError(f"model.network.character_channels: found {channels}, expected an even number for lstm")
        self.letters = embedding(num_characters, dim)
        self.forwards = LSTM(dim, channels // 2, batch_first=True)
        self.backwards = LSTM(dim, channels // 2, batch_first=True)

    def forward(self, letters: Tensor) -> Tensor:
        inside = letters != PADDING
        turned = letters.gather(1, reversal(inside))
        last = (inside.sum(1) - 1).clamp(min=0).view(-1, 1, 1)
        ends = []
        for lstm, read in ((self.forwards, letters), (self.backwards, turned)):
            states = lstm(self.letters(read))[0]
            ends.append(states.gather(1, last.expand(-1, 1, states.shape[2])).squeeze(1))
        return torch.cat(ends, dim=1) * inside[:, :1]


SPELLERS: dict[str, type[CharacterCNN] | type[CharacterLSTM]] = {"cnn": CharacterCNN, "lstm": CharacterLSTM}


def embedding(size: int, dim: int) -> nn.Embedding:
    """Rows of variance 1 / dim; that of padding is zero."""
    table = nn.Embedding(size, dim, padding_idx=PADDING)
    with torch.no_grad():
        table.weight.uniform_(-((3 / dim) ** 0.5), (3 / dim) ** 0.5)
        table.weight[PADDING] = 0
    return table


def reversal(inside: Tensor) -> Tensor:
    """Positions `[batch, time]` that turn each sequence round and leave its padding at the end."""
    steps = torch.arange(inside.shape[1], device=inside.device)
    return torch.where(inside, inside.sum(1, keepdim=True) - 1 - steps, steps)
