"""A stretch of text cut into blocks, so that windows become bands of small matrices."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

SENTENCE_END = -1


@dataclass(frozen=True)
class BlockShape:
    """Sizes of a block: `block` centres share `shared` noise words, each pair counts `negatives` of them."""

    window: int = 5
    negatives: int = 5
    block: int = 32
    shared: int = 32

    @property
    def span(self) -> int:
        return self.block + 2 * self.window


@dataclass(frozen=True)
class Blocks:
    """Blocks of consecutive words after subsampling; short ends are padded with word 0 in a band without pairs.

    `centres` [blocks, block] and `windows` [blocks, block + 2 window] are word ids; `bands` [blocks, block] name the row of
    `band_table` that says which window places are a centre's contexts; `noise` [blocks, shared] are the noise words.
    """

    centres: Tensor
    windows: Tensor
    bands: Tensor
    noise: Tensor

    def __len__(self) -> int:
        return len(self.centres)

    def split(self, size: int) -> Iterator["Blocks"]:
        """Consecutive groups of at most `size` blocks, without copying."""
        fields = (self.centres, self.windows, self.bands, self.noise)
        for parts in zip(*(field.split(size) for field in fields), strict=True):
            yield Blocks(*parts)


def reaches(sentence: Tensor, window: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """How many contexts each word has to its left and right: a random window of 1 … `window`, cut at the sentence.

    `sentence` [words] numbers the sentence of every word, in order.
    """
    size = len(sentence)
    place = torch.arange(size, device=sentence.device)
    reduced = torch.randint(1, window + 1, (size,), device=sentence.device, generator=generator)
    first = torch.searchsorted(sentence, sentence)
    last = torch.searchsorted(sentence, sentence, right=True) - 1
    return torch.minimum(reduced, place - first), torch.minimum(reduced, last - place)


def cut_blocks(
    tokens: Tensor, keep: Tensor, shape: BlockShape, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Subsample `tokens` [n] (`SENTENCE_END` between sentences) and lay them in blocks: centres, windows and bands.

    `keep` [words] is the chance that a word stays. Windows are drawn after subsampling and never cross a sentence.
    """
    chance = torch.cat([keep, keep.new_zeros(1)])[tokens]
    stays = torch.rand(len(tokens), device=tokens.device, dtype=keep.dtype, generator=generator) < chance
    sentence = (tokens == SENTENCE_END).cumsum(0)[stays]
    words = tokens[stays]
    left, right = reaches(sentence, shape.window, generator)
    blocks = -(-len(words) // shape.block)
    short = blocks * shape.block - len(words)
    padded = torch.nn.functional.pad(words, (shape.window, shape.window + short))
    reach = torch.nn.functional.pad(left * (shape.window + 1) + right, (0, short)).view(blocks, shape.block)
    row = torch.arange(shape.block, device=tokens.device)
    centres = padded[shape.window : shape.window + blocks * shape.block].view(blocks, shape.block)
    return centres, padded.unfold(0, shape.span, shape.block), reach * shape.block + row


def band_table(shape: BlockShape) -> Tensor:
    """Every row that a block's weight matrix can have, [(window+1)² · block, block + 2 window + shared], float32.

    The row of a centre with `left` and `right` contexts at place `i` of its block is `(left (window+1) + right) block + i`. It holds 1
    at each context and `(left + right) negatives / shared` at each noise word, so that a pair sees `negatives` of them.
    """
    reach = torch.arange(shape.window + 1)
    offset = torch.arange(shape.span)[None] - shape.window - torch.arange(shape.block)[:, None]
    left, right = reach[:, None, None, None], reach[None, :, None, None]
    band = ((offset >= -left) & (offset <= right) & (offset != 0)).flatten(0, 2).float()
    weight = band.sum(1, keepdim=True) * (shape.negatives / max(shape.shared, 1))
    return torch.cat([band, weight.expand(-1, shape.shared)], dim=1)
