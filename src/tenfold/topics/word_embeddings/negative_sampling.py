r"""Negative sampling as matrix products over blocks (Mikolov et al. 2013; Ji et al. 2016, arXiv 1604.04661, for the
sharing).

The textbook loss of a hidden vector :math:`h` and a target :math:`o` with :math:`k` noise words is

.. math:: -\log \sigma(h \cdot u_o) - \sum_{i=1}^{k} \log \sigma(-h \cdot u_{n_i}), \qquad n_i \sim P_n

Here all centres of a block share :math:`K` noise words, each weighted :math:`k / K` a pair: the same expectation, less
variance, and the work is three products of [block, channels] with [channels, block + 2 window + K] instead of a gather
for each pair. Skip-gram predicts the contexts from the centre; CBOW predicts the centre from the mean of its contexts,
and its gradient is divided by their number (word2vec.c forgets to: İrsoy et al. 2020, arXiv 2012.15332), so it wants a
larger learning rate.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from tenfold.topics.word_embeddings.blocks import Blocks
from tenfold.topics.word_embeddings.rates import Rates
from tenfold.topics.word_embeddings.tables import SubwordTable, WordTable


def skipgram_loss(
    inputs: WordTable | SubwordTable, outputs: Tensor, blocks: Blocks, table: Tensor
) -> tuple[Tensor, Tensor]:
    """Summed loss of all pairs and their number; differentiable. `outputs` [words, channels], `table` from
    `band_table`."""
    targets = torch.cat([blocks.windows, blocks.noise], dim=1)
    score = torch.bmm(inputs(blocks.centres), torch.embedding(outputs, targets).transpose(1, 2))
    weight = torch.embedding(table, blocks.bands)
    context = weight[..., : blocks.windows.shape[1]]
    positive = (context * score[..., : blocks.windows.shape[1]]).sum()
    return (weight * softplus(score)).sum() - positive, context.sum()


@torch.no_grad()
def skipgram_step(
    inputs: WordTable | SubwordTable, outputs: Tensor, blocks: Blocks, table: Tensor, rates: Rates
) -> None:
    """One gradient step on the loss of all pairs in `blocks`, in place."""
    targets = torch.cat([blocks.windows, blocks.noise], dim=1)
    hidden = inputs(blocks.centres)
    vectors = torch.embedding(outputs, targets)
    weight = torch.embedding(table, blocks.bands)
    slope = torch.bmm(hidden, vectors.transpose(1, 2)).sigmoid_().mul_(weight)
    slope[..., : blocks.windows.shape[1]].sub_(weight[..., : blocks.windows.shape[1]])
    change = torch.bmm((slope * rates.outputs(targets).unsqueeze(1)).transpose(1, 2), hidden)
    inputs.add_(blocks.centres, torch.bmm(slope.mul_(rates.inputs(blocks.centres).unsqueeze(2)), vectors))
    outputs.index_add_(0, targets.view(-1), change.view(-1, change.shape[-1]))


def _mean_weights(blocks: Blocks, table: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [blocks, block, span] that average a centre's contexts, and whether it has any [blocks, block, 1]."""
    band = torch.embedding(table, blocks.bands)[..., : blocks.windows.shape[1]]
    size = band.sum(-1, keepdim=True)
    return band / size.clamp(min=1), size.clamp(max=1)


def cbow_loss(
    inputs: WordTable | SubwordTable, outputs: Tensor, blocks: Blocks, table: Tensor, negatives: int
) -> tuple[Tensor, Tensor]:
    """Summed loss of all centres that have a context, and their number; differentiable."""
    mean, real = _mean_weights(blocks, table)
    hidden = torch.bmm(mean, inputs(blocks.windows))
    positive = (hidden * torch.embedding(outputs, blocks.centres)).sum(-1, keepdim=True)
    noise = torch.bmm(hidden, torch.embedding(outputs, blocks.noise).transpose(1, 2))
    weight = real * (negatives / blocks.noise.shape[1])
    return (weight * softplus(noise)).sum() - (real * logsigmoid(positive)).sum(), real.sum()


@torch.no_grad()
def cbow_step(
    inputs: WordTable | SubwordTable, outputs: Tensor, blocks: Blocks, table: Tensor, negatives: int, rates: Rates
) -> None:
    """One gradient step on the loss of all centres in `blocks`, in place."""
    mean, real = _mean_weights(blocks, table)
    hidden = torch.bmm(mean, inputs(blocks.windows))
    centres, noise = torch.embedding(outputs, blocks.centres), torch.embedding(outputs, blocks.noise)
    positive = (hidden * centres).sum(-1, keepdim=True).sigmoid_().sub_(1).mul_(real)
    slope = torch.bmm(hidden, noise.transpose(1, 2)).sigmoid_().mul_(real * (negatives / blocks.noise.shape[1]))
    back = torch.baddbmm(centres.mul_(positive), slope, noise)
    change = torch.bmm(mean.mul_(rates.inputs(blocks.windows).unsqueeze(1)).transpose(1, 2), back)
    positive.mul_(rates.outputs(blocks.centres).unsqueeze(2))
    slope.mul_(rates.outputs(blocks.noise).unsqueeze(1))
    outputs.index_add_(0, blocks.centres.reshape(-1), (hidden * positive).view(-1, hidden.shape[-1]))
    outputs.index_add_(0, blocks.noise.reshape(-1), torch.bmm(slope.transpose(1, 2), hidden).view(-1, hidden.shape[-1]))
    inputs.add_(blocks.windows, change)
