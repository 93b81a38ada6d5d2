"""A stretch of text cut into passages of blocks, so that windows become bands of small matrices."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from tenfold.data.text.corpus import SENTENCE_END
from tenfold.topics.word_embeddings.draws import uniform
from tenfold.topics.word_embeddings.sampling import NoiseSampler, keep_probability


@dataclass(frozen=True)
class BlockShape:
    """Sizes: `block` centres are the rows of one band matrix; a passage of `group` blocks shares `shared` noise words,
    of which each pair counts `negatives`."""

    window: int = 5
    negatives: int = 5
    block: int = 16
    shared: int = 128
    group: int = 9

    @property
    def span(self) -> int:
        """Words that the centres of a block have in their windows."""
        return self.block + 2 * self.window

    @property
    def passage(self) -> int:
        """Words of a passage: its centres, and `window` words before and after them. At least one centre."""
        return self.block * max(self.group, 2 * self.window // self.block + 1)

    @property
    def centres(self) -> int:
        return self.passage - 2 * self.window


@dataclass(frozen=True)
class Blocks:
    """Passages of consecutive words after subsampling; short ends are padded with word 0, which is in no pair.

    `text` [passages, passage] are word ids. Place i is the centre of text i + `window`, and its window begins at text
    i: the windows of a block are a stretch of the text itself, and nothing is copied. `bands` [passages, passage] name
    the row of `band_table` that says which words of its block's windows are a place's contexts, `sizes` [passages,
    passage] how many these are: none at the last 2 `window` places, whose windows reach into the next passage.
    `noise` [passages, shared] are the noise words.
    """

    text: Tensor
    bands: Tensor
    sizes: Tensor
    noise: Tensor

    def __len__(self) -> int:
        return len(self.text)

    def _fields(self) -> tuple[Tensor, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))

    def split(self, size: int) -> Iterator["Blocks"]:
        """Consecutive groups of at most `size` passages, without copying."""
        for parts in zip(*(field.split(size) for field in self._fields()), strict=True):
            yield Blocks(*parts)

    def shuffled(self) -> "Blocks":
        """The passages in random order: a word that is frequent in one place is then spread over many steps."""
        order = torch.randperm(len(self), device=self.text.device)
        return Blocks(*(field[order] for field in self._fields()))

    def centres(self, shape: BlockShape) -> Tensor:
        """Word ids of all places, block by block [passages · group, block]."""
        return self.text.reshape(-1).roll(-shape.window).view(-1, shape.block)

    def windows(self, shape: BlockShape) -> Tensor:
        """Word ids of every block's windows [passages · group, block + 2 window]."""
        if not len(self):
            return self.text.new_zeros(0, shape.span)
        return torch.nn.functional.pad(self.text.reshape(-1), (0, 2 * shape.window)).unfold(0, shape.span, shape.block)


class BlockCutter:
    """Subsamples stretches of text, draws their windows and noise words, and lays them in passages.

    All draws depend on the seed, the epoch and the place in the corpus alone (see `draws`), and no passage holds words
    of two stretches: however a batch is shared out, its passages are the same.

    counts: occurrences of each word in the training text [words].
    threshold: of subsampling; 0 keeps every word.
    """

    def __init__(self, counts: Tensor, shape: BlockShape, threshold: float = 1e-3, seed: int = 0) -> None:
        self.shape, self.seed = shape, seed
        self.keep = keep_probability(counts, threshold)
        self.noise = NoiseSampler(counts)
        reach = torch.arange(shape.window + 1.0)
        self.sizes = (reach[:, None] + reach).flatten()  # of a window that reaches so far to the left and to the right

    def to(self, device: torch.device) -> None:
        self.sizes, self.keep = self.sizes.to(device), self.keep.to(device)
        self.noise.to(device)

    def __call__(self, tokens: Tensor, index: Tensor, epoch: int) -> Blocks:
        """Passages of the stretches `tokens` [stretches, length], numbered `index` [stretches] in the corpus.

        Windows are drawn after subsampling and never cross a sentence or a stretch.
        """
        shape, (number, length), device = self.shape, tokens.shape, tokens.device
        place = index.unsqueeze(1) * length + torch.arange(length, device=device)
        known = tokens != SENTENCE_END
        stays = (uniform(place, self.seed, epoch, 0) < self.keep[tokens.clamp(min=0)]) & known
        sentence = (~known).long().flatten().cumsum(0).view_as(tokens) + torch.arange(number, device=device)[:, None]
        stay = stays.flatten().nonzero().squeeze(1)
        words, place, sentence = (values.flatten()[stay] for values in (tokens, place, sentence))
        reduced = 1 + (uniform(place, self.seed, epoch, 1) * shape.window).long()
        left, right = reaches(sentence, reduced)
        kept = stays.sum(1)
        passages = kept.add(shape.centres - 1).div_(shape.centres, rounding_mode="floor")
        owner = torch.repeat_interleave(torch.arange(number, device=device), passages)
        nth = torch.arange(len(owner), device=device) - (passages.cumsum(0) - passages)[owner]
        begin = (kept.cumsum(0) - kept)[owner].unsqueeze(1)
        rank = (nth * shape.centres).unsqueeze(1) + torch.arange(shape.passage, device=device)
        size = kept[owner].unsqueeze(1)
        text = _laid(words, begin, rank - shape.window, size)
        reach = _laid(left * (shape.window + 1) + right, begin, rank, torch.minimum(size, rank[:, :1] + shape.centres))
        bands = reach * shape.block + torch.arange(shape.passage, device=device) % shape.block
        lot = (index[owner] * length + nth).unsqueeze(1) * shape.shared + torch.arange(shape.shared, device=device)
        return Blocks(text, bands, self.sizes[reach], self.noise.invert(uniform(lot, self.seed, epoch, 2)))


def _laid(values: Tensor, begin: Tensor, rank: Tensor, size: Tensor) -> Tensor:
    """`values[begin + rank]`, and 0 where `rank` is not in [0, size)."""
    if not len(values):
        return torch.zeros_like(rank)
    place = (begin + rank).clamp_(0, len(values) - 1)
    return torch.embedding(values.unsqueeze(1), place).squeeze(2).mul_((rank >= 0) & (rank < size))


def reaches(sentence: Tensor, reduced: Tensor) -> tuple[Tensor, Tensor]:
    """How many contexts each word has to its left and right: its window `reduced` [words], cut at its sentence's ends.

    `sentence` [words] numbers the sentence of every word, in order.
    """
    lengths = torch.unique_consecutive(sentence, return_counts=True)[1]
    ends = torch.repeat_interleave(lengths.cumsum(0), lengths, output_size=len(sentence))
    lengths = torch.repeat_interleave(lengths, lengths, output_size=len(sentence))
    after = ends - 1 - torch.arange(len(sentence), device=sentence.device)
    return torch.minimum(reduced, lengths - 1 - after), torch.minimum(reduced, after)


def band_table(shape: BlockShape) -> Tensor:
    """Every row that a block's weight matrix can have, [(window+1)² · block, block + 2 window], float32.

    The row of a centre with `left` and `right` contexts at place `i` of its block is
    `(left (window+1) + right) block + i`. It holds 1 at each context.
    """
    reach = torch.arange(shape.window + 1)
    offset = torch.arange(shape.span)[None] - shape.window - torch.arange(shape.block)[:, None]
    left, right = reach[:, None, None, None], reach[None, :, None, None]
    return ((offset >= -left) & (offset <= right) & (offset != 0)).flatten(0, 2).float()


def mean_table(table: Tensor) -> Tensor:
    """`band_table` with rows of sum 1: what averages a centre's contexts."""
    return table / table.sum(1, keepdim=True).clamp(min=1)
