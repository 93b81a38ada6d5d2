"""The two tables of a word embedding: what words are, and what predicts their company."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tenfold.data.text.subwords import subword_rows
from tenfold.topics.word_embeddings.tables import SubwordTable, WordTable


class WordEmbedding(nn.Module):
    r"""Word2Vec (Mikolov et al. 2013, arXiv 1301.3781): an input vector :math:`v_w` a word, and an output vector
    :math:`u_w`.

    Outputs are those of words under negative sampling, of the tree's inner nodes under hierarchical softmax; they begin
    at zero.
    """

    inputs: WordTable | SubwordTable

    def __init__(self, num_words: int, channels: int = 100) -> None:
        super().__init__()
        self.inputs = WordTable(num_words, channels)
        self.outputs = nn.Parameter(torch.zeros(num_words, channels))

    def forward(self, words: Tensor) -> Tensor:
        """Vectors [..., channels] of word indices [...]."""
        return self.inputs(words)


class SubwordEmbedding(nn.Module):
    """FastText (Bojanowski et al. 2017, arXiv 1607.04606): a word is the mean of its own vector and those of its
    character n-grams.

    N-grams of `min_n` to `max_n` characters are hashed into `buckets` rows. Words that training never saw have vectors
    too.
    """

    inputs: WordTable | SubwordTable

    def __init__(
        self, words: Sequence[str], channels: int = 100, buckets: int = 2_000_000, min_n: int = 3, max_n: int = 6
    ) -> None:
        super().__init__()
        self.buckets, self.min_n, self.max_n = buckets, min_n, max_n
        rows, offsets = subword_rows(words, buckets, min_n, max_n)
        self.inputs = SubwordTable(rows, offsets, len(words) + buckets, channels)
        self.outputs = nn.Parameter(torch.zeros(len(words), channels))

    def forward(self, words: Tensor) -> Tensor:
        """Vectors [..., channels] of word indices [...]."""
        return self.inputs(words)


class Lookup(nn.Module):
    """Finished vectors, one a word; what is exported."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)

    def forward(self, words: Tensor) -> Tensor:
        return nn.functional.embedding(words, self.get_buffer("matrix"))
