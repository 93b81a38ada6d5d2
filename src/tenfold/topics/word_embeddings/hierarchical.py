r"""Hierarchical softmax over a Huffman tree (Morin and Bengio 2005; Mikolov et al. 2013).

.. math:: -\log p(w \mid h) = -\sum_{n \in \mathrm{path}(w)} \log \sigma(s_{w,n} \, h \cdot u_n), \qquad s_{w,n} = \pm 1

:math:`s` is +1 where the word lies left of the inner node n (code 0), -1 where right (code 1). As in word2vec.c,
skip-gram predicts the centre from each of its contexts, so that a centre's path is fetched once for all of them.
"""

import heapq

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from tenfold.topics.word_embeddings.blocks import Blocks, BlockShape, band_table
from tenfold.topics.word_embeddings.rates import RowRates
from tenfold.topics.word_embeddings.tables import SubwordTable, WordTable


def huffman_paths(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Inner nodes from the root to every word [words, depth], and their signs (+1, -1, and 0 past the word's own
    depth)."""
    size = len(counts)
    heap = [(int(count), word) for word, count in enumerate(counts.tolist())]
    heapq.heapify(heap)
    parent, right = np.zeros(2 * size - 1, np.int64), np.zeros(2 * size - 1, bool)
    for node in range(size, 2 * size - 1):
        (first, low), (second, high) = heapq.heappop(heap), heapq.heappop(heap)
        heapq.heappush(heap, (first + second, node))
        parent[[low, high]], right[high] = node, True
    depth = np.zeros(2 * size - 1, np.int64)
    for node in range(2 * size - 3, -1, -1):
        depth[node] = depth[parent[node]] + 1
    nodes = np.zeros((size, max(int(depth[:size].max()), 1)), np.int64)
    signs = np.zeros(nodes.shape, np.float32)
    word = np.arange(size)
    at = word.copy()
    while len(word):
        word, at = word[depth[at] > 0], at[depth[at] > 0]
        nodes[word, depth[at] - 1] = parent[at] - size
        signs[word, depth[at] - 1] = np.where(right[at], -1, 1)
        at = parent[at]
    return torch.from_numpy(nodes), torch.from_numpy(signs)


class Hierarchy(nn.Module):
    """The paths of all words and the table of windows; `nodes` and `signs` [words, depth] from `huffman_paths`."""

    nodes: Tensor
    signs: Tensor
    windows: Tensor

    def __init__(self, counts: Tensor, window: int) -> None:
        super().__init__()
        nodes, signs = huffman_paths(counts)
        self.register_buffer("nodes", nodes, persistent=False)
        self.register_buffer("signs", signs, persistent=False)
        self.mean_depth = float((signs.abs().sum(1) * counts).sum() / counts.sum())
        self.register_buffer("windows", band_table(BlockShape(window=window, block=1)), persistent=False)

    def contexts(self, blocks: Blocks, shape: BlockShape) -> tuple[Tensor, Tensor]:
        """Every centre's window [blocks, block, 2 window + 1] and the weight of each place in it (1 at contexts)."""
        reach = torch.div(blocks.bands.view(-1, shape.block), shape.block, rounding_mode="floor")
        return blocks.windows(shape).unfold(1, self.windows.shape[1], 1), torch.embedding(self.windows, reach)


def _hidden(
    inputs: WordTable | SubwordTable, words: Tensor, weight: Tensor, cbow: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden vectors [blocks, block, m, channels], weights of their predictions [..., m], and how to average (CBOW; m =
    1)."""
    vectors = inputs(words)
    if not cbow:
        return vectors, weight, weight
    size = weight.sum(-1, keepdim=True)
    mean = (weight / size.clamp(min=1)).unsqueeze(-2)
    return mean @ vectors, size.clamp(max=1), mean


def path_loss(
    inputs: WordTable | SubwordTable, outputs: Tensor, blocks: Blocks, tree: Hierarchy, cbow: bool, shape: BlockShape
) -> tuple[Tensor, Tensor]:
    """Summed loss of all predictions and their number; differentiable. `outputs` [words, channels] holds the inner
    nodes."""
    hidden, weight, _ = _hidden(inputs, *tree.contexts(blocks, shape), cbow)
    nodes, signs = (
        torch.embedding(outputs, tree.nodes[blocks.centres(shape)]),
        tree.signs[blocks.centres(shape)].unsqueeze(-2),
    )
    score = hidden @ nodes.transpose(-1, -2)
    return -(logsigmoid(signs * score) * signs.abs() * weight.unsqueeze(-1)).sum(), weight.sum()


@torch.no_grad()
def path_step(
    inputs: WordTable | SubwordTable,
    outputs: Tensor,
    blocks: Blocks,
    tree: Hierarchy,
    cbow: bool,
    shape: BlockShape,
    input_rates: RowRates,
    output_rates: RowRates,
) -> None:
    """One gradient step on the loss of all predictions in `blocks`, in place."""
    words, places = tree.contexts(blocks, shape)
    hidden, weight, mean = _hidden(inputs, words, places, cbow)
    path = tree.nodes[blocks.centres(shape)]
    nodes, signs = torch.embedding(outputs, path), tree.signs[blocks.centres(shape)].unsqueeze(-2)
    slope = torch.sigmoid(-signs * (hidden @ nodes.transpose(-1, -2))).mul_(-signs).mul_(weight.unsqueeze(-1))
    back = slope @ nodes
    change = mean.transpose(-1, -2) @ back if cbow else back
    used = signs.squeeze(-2).abs()
    visits = used.sum(-1, keepdim=True).expand_as(words) * places
    sizes = input_rates(words.reshape(-1), visits.reshape(-1))
    inputs.add_(words, change * sizes.view(*words.shape, 1))
    sizes = output_rates(path.view(-1), (used * weight.sum(-1, keepdim=True)).view(-1))
    change = slope.mul_(sizes.view(*path.shape).unsqueeze(-2)).transpose(-1, -2) @ hidden
    outputs.index_add_(0, path.view(-1), change.view(-1, change.shape[-1]))
