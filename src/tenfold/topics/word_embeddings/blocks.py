"""A stretch of text cut into blocks, so that windows become bands of small matrices."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tenfold.data.text.corpus import SENTENCE_END
from tenfold.topics.word_embeddings.draws import uniform
from tenfold.topics.word_embeddings.sampling import NoiseSampler, keep_probability


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
    """Blocks of consecutive words after subsampling; short ends are padded with word 0, which is in no pair.

    `centres` [blocks, block] and `windows` [blocks, block + 2 window] are word ids; `bands` [blocks, block] name the
    row of `band_table` that says which window places are a centre's contexts; `noise` [blocks, shared] are the noise
    words.
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

    def shuffled(self) -> "Blocks":
        """The blocks in random order: a word that is frequent in one passage is then spread over many steps."""
        order = torch.randperm(len(self), device=self.centres.device)
        return Blocks(self.centres[order], self.windows[order], self.bands[order], self.noise[order])


class BlockCutter:
    """Subsamples stretches of text, draws their windows and noise words, and lays them in blocks.

    All draws depend on the seed, the epoch and the place in the corpus alone (see `draws`), and no block holds words of
    two stretches: however a batch is shared out, its blocks are the same.

    counts: occurrences of each word in the training text [words].
    threshold: of subsampling; 0 keeps every word.
    """

    def __init__(self, counts: Tensor, shape: BlockShape, threshold: float = 1e-3, seed: int = 0) -> None:
        self.shape, self.seed = shape, seed
        self.keep = keep_probability(counts, threshold)
        self.noise = NoiseSampler(counts)

    def to(self, device: torch.device) -> None:
        self.keep, self.noise.cumulative = self.keep.to(device), self.noise.cumulative.to(device)

    def __call__(self, tokens: Tensor, index: Tensor, epoch: int) -> Blocks:
        """Blocks of the stretches `tokens` [stretches, length], numbered `index` [stretches] in the corpus.

        Windows are drawn after subsampling and never cross a sentence or a stretch.
        """
        shape, (number, length) = self.shape, tokens.shape
        place = index.unsqueeze(1) * length + torch.arange(length, device=tokens.device)
        known = tokens != SENTENCE_END
        stays = (uniform(place, self.seed, epoch, 0) < self.keep[tokens.clamp(min=0)]) & known
        sentence = (~known).long().flatten().cumsum(0).view_as(tokens) + torch.arange(
            number, device=tokens.device
        ).unsqueeze(1)
        reduced = 1 + (uniform(place[stays], self.seed, epoch, 1) * shape.window).long()
        left, right = reaches(sentence[stays], reduced)
        blocks = stays.sum(1).add_(shape.block - 1).div_(shape.block, rounding_mode="floor")
        first = blocks.cumsum(0) - blocks
        rank = stays.long().cumsum(1).sub_(1).add_(first.unsqueeze(1) * shape.block)[stays]
        total = int(blocks.sum())
        padded = tokens.new_zeros(total * shape.block + 2 * shape.window)
        padded[rank + shape.window] = tokens[stays]
        bands = tokens.new_zeros(total * shape.block)
        bands[rank] = (left * (shape.window + 1) + right) * shape.block
        bands = bands.view(total, shape.block) + torch.arange(shape.block, device=tokens.device)
        owner = torch.repeat_interleave(torch.arange(number, device=tokens.device), blocks, output_size=total)
        block = index[owner] * length + torch.arange(total, device=tokens.device) - first[owner]
        lot = block.unsqueeze(1) * shape.shared + torch.arange(shape.shared, device=tokens.device)
        centres = padded[shape.window : shape.window + total * shape.block].view(total, shape.block)
        windows = padded.unfold(0, shape.span, shape.block) if total else padded.new_zeros(0, shape.span)
        return Blocks(centres, windows, bands, self.noise.invert(uniform(lot, self.seed, epoch, 2)))


def reaches(sentence: Tensor, reduced: Tensor) -> tuple[Tensor, Tensor]:
    """How many contexts each word has to its left and right: its window `reduced` [words], cut at its sentence's ends.

    `sentence` [words] numbers the sentence of every word, in order.
    """
    place = torch.arange(len(sentence), device=sentence.device)
    first = torch.searchsorted(sentence, sentence)
    last = torch.searchsorted(sentence, sentence, right=True) - 1
    return torch.minimum(reduced, place - first), torch.minimum(reduced, last - place)


def band_table(shape: BlockShape) -> Tensor:
    """Every row that a block's weight matrix can have, [(window+1)² · block, block + 2 window + shared], float32.

    The row of a centre with `left` and `right` contexts at place `i` of its block is
    `(left (window+1) + right) block + i`. It holds 1 at each context and `(left + right) negatives / shared` at each
    noise word, so that a pair sees `negatives` of them.
    """
    reach = torch.arange(shape.window + 1)
    offset = torch.arange(shape.span)[None] - shape.window - torch.arange(shape.block)[:, None]
    left, right = reach[:, None, None, None], reach[None, :, None, None]
    band = ((offset >= -left) & (offset <= right) & (offset != 0)).flatten(0, 2).float()
    weight = band.sum(1, keepdim=True) * (shape.negatives / max(shape.shared, 1))
    return torch.cat([band, weight.expand(-1, shape.shared)], dim=1)
