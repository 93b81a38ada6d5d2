"""Where the input vectors live: one row a word (word2vec), or the rows of its character n-grams (FastText)."""

import torch
from torch import Tensor, nn


class WordTable(nn.Module):
    r"""One vector a word, :math:`v_w`, drawn from :math:`U(-1/2d, 1/2d)` as in word2vec. `weight` [words, channels]."""

    def __init__(self, num_words: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_words, channels).uniform_(-0.5 / channels, 0.5 / channels))

    def forward(self, words: Tensor) -> Tensor:
        return torch.embedding(self.weight, words)

    @torch.no_grad()
    def add_(self, words: Tensor, change: Tensor) -> None:
        """Add `change` [..., channels] to the rows of `words` [...]; a word that comes twice gets both."""
        # No alpha: index_add_ takes a path twice as slow with one.
        self.weight.index_add_(0, words.reshape(-1), change.reshape(-1, change.shape[-1]))


class SubwordTable(nn.Module):
    r"""A word's vector as the mean of its rows :math:`v_w = \frac{1}{|G_w|} \sum_{g \in G_w} z_g` (Bojanowski et al.
    2017).

    `rows` [entries] lists every word's rows one after the other, `offsets` [words + 1] where each begins. As in
    fastText's own code every row receives the whole gradient of the mean. `weight` [words + buckets, channels].
    """

    rows: Tensor
    offsets: Tensor
    received: Tensor

    def __init__(self, rows: Tensor, offsets: Tensor, num_rows: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_rows, channels).uniform_(-1 / channels, 1 / channels))
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("offsets", offsets, persistent=False)
        self.register_buffer("received", torch.zeros(num_rows), persistent=False)  # within a call of `add_`

    def spread(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of all `words` [n] one after the other, and how many each word has [n]."""
        begin = self.offsets[words]
        sizes = self.offsets[words + 1] - begin
        ends = sizes.cumsum(0)
        place = torch.arange(int(ends[-1]) if len(ends) else 0, device=words.device)
        return self.rows[place + torch.repeat_interleave(begin - ends + sizes, sizes, output_size=len(place))], sizes

    def forward(self, words: Tensor) -> Tensor:
        # Text repeats its words: each is put together once a step, however often it occurs.
        unique, inverse = torch.unique(words, return_inverse=True)
        rows, sizes = self.spread(unique)
        vectors = nn.functional.embedding_bag(rows, self.weight, sizes.cumsum(0) - sizes, mode="mean")
        return torch.embedding(vectors, inverse)

    @torch.no_grad()
    def add_(self, words: Tensor, change: Tensor, received: Tensor | None = None, limit: float = torch.inf) -> None:
        """Add `change` [..., channels] to every row of each of `words` [...].

        `received` [...] says how many updates, times their rate, each change is made of; a row that gets more than
        `limit` of them gets so much less of each.
        """
        unique, inverse = torch.unique(words, return_inverse=True)
        total = change.new_zeros(len(unique), change.shape[-1])
        total.index_add_(0, inverse.reshape(-1), change.reshape(-1, change.shape[-1]))
        rows, sizes = self.spread(unique)
        owner = torch.repeat_interleave(torch.arange(len(unique), device=words.device), sizes, output_size=len(rows))
        owed = torch.embedding(total, owner)
        if received is not None:
            amount = change.new_zeros(len(unique)).index_add_(0, inverse.reshape(-1), received.reshape(-1))
            self.received.index_add_(0, rows, amount[owner])
            owed.mul_((limit / self.received[rows]).clamp_(max=1).unsqueeze(1))
            self.received.index_fill_(0, rows, 0)
        self.weight.index_add_(0, rows, owed)


class Composed(nn.Module):
    """The vectors of some words of a `SubwordTable`, put together once and trained as rows of their own.

    A word's change is owed to every one of its rows: `settle` pays it. Between two settlements a word sees what it
    learns itself, not what others that share its n-grams do; putting words together is then no part of a step.
    """

    def __init__(self, table: SubwordTable, words: Tensor) -> None:
        super().__init__()
        self.table, self.words = table, torch.unique(words)
        self.place = words.new_zeros(len(table.offsets))
        self.place[self.words] = torch.arange(len(self.words), device=words.device)
        self.start = table(self.words).detach()
        self.weight = self.start.clone()

    def forward(self, words: Tensor) -> Tensor:
        return torch.embedding(self.weight, self.place[words])

    def add_(self, words: Tensor, change: Tensor) -> None:
        place = self.place[words].view(-1)
        self.weight.index_add_(0, place, change.reshape(len(place), -1))

    def settle(self, words: Tensor, received: Tensor, limit: float) -> None:
        """Pay all rows. `words` [n] have got `received` [n] updates, times their rate, of which a row takes `limit`."""
        amount = self.weight.new_zeros(len(self.words)).index_add_(0, self.place[words], received)
        # A word's own steps were limited already.
        self.table.add_(self.words, self.weight - self.start, amount.clamp_(max=limit), limit)
