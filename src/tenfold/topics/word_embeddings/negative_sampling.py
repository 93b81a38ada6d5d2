r"""Negative sampling as matrix products over blocks (Mikolov et al. 2013; Ji et al. 2016, arXiv 1604.04661, for the
sharing).

The textbook loss of a hidden vector :math:`h` and a target :math:`o` with :math:`k` noise words is

.. math:: -\log \sigma(h \cdot u_o) - \sum_{i=1}^{k} \log \sigma(-h \cdot u_{n_i}), \qquad n_i \sim P_n

Here all centres of a passage share :math:`K` noise words, each weighted :math:`k / K` a pair: the same expectation, and
the work is a few products of small matrices instead of a gather for each pair. Skip-gram predicts the contexts from the
centre; CBOW predicts the centre from the mean of its contexts, and its gradient is divided by their number (word2vec.c
forgets to: İrsoy et al. 2020, arXiv 2012.15332), so it wants a larger learning rate.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from tenfold.topics.word_embeddings.blocks import Blocks, BlockShape
from tenfold.topics.word_embeddings.rates import RowRates
from tenfold.topics.word_embeddings.tables import SubwordTable, WordTable

Inputs = WordTable | SubwordTable


def skipgram_loss(
    inputs: Inputs, outputs: Tensor, blocks: Blocks, table: Tensor, shape: BlockShape
) -> tuple[Tensor, Tensor]:
    """Summed loss of all pairs and their number; differentiable. `outputs` [words, channels], `table` from
    `band_table`."""
    hidden = inputs(blocks.centres(shape))
    score = torch.bmm(hidden, torch.embedding(outputs, blocks.windows(shape)).transpose(1, 2))
    context = torch.embedding(table, blocks.bands).view_as(score)
    noise = hidden.view(len(blocks), -1, hidden.shape[-1]) @ torch.embedding(outputs, blocks.noise).transpose(1, 2)
    weight = blocks.sizes.to(score.dtype).unsqueeze(2) * (shape.negatives / shape.shared)
    return (weight * softplus(noise)).sum() - (context * logsigmoid(score)).sum(), context.sum()


@torch.no_grad()
def skipgram_step(
    inputs: Inputs,
    outputs: Tensor,
    blocks: Blocks,
    table: Tensor,
    shape: BlockShape,
    input_rates: RowRates,
    output_rates: RowRates,
) -> None:
    """One gradient step on the loss of all pairs in `blocks`, in place."""
    text = blocks.text.view(-1)
    centres = text.roll(-shape.window)
    targets = torch.cat([text, blocks.noise.view(-1), text[: 2 * shape.window]])
    hidden, vectors = inputs(centres), torch.embedding(outputs, targets)
    change = torch.zeros_like(vectors)
    noise, noise_change = _noise_rows(vectors, blocks), _noise_rows(change, blocks)
    rows, passages = hidden.view(-1, shape.block, hidden.shape[1]), hidden.view(len(blocks), -1, hidden.shape[1])
    windows = _windows(vectors, len(text), shape)
    slope = torch.bmm(rows, windows.transpose(1, 2)).sigmoid_().sub_(1)
    slope.mul_(torch.embedding(table, blocks.bands).view_as(slope))
    noise_slope = torch.bmm(passages, noise.transpose(1, 2)).sigmoid_()
    noise_slope.mul_((blocks.sizes * (shape.negatives / shape.shared)).unsqueeze(2))
    _overlapped(torch.bmm(slope.transpose(1, 2), rows), shape, change[: len(text)])
    torch.bmm(noise_slope.transpose(1, 2), passages, out=noise_change)
    back = torch.bmm(slope, windows).view_as(passages).baddbmm_(noise_slope, noise).view_as(hidden)
    sizes = blocks.sizes.view(-1)
    # A word is a context about as often as it has contexts.
    often = torch.cat([sizes.roll(shape.window), _of_noise(blocks.sizes, shape), sizes.new_zeros(2 * shape.window)])
    outputs.index_add_(0, targets, change.mul_(output_rates(targets, often)))
    inputs.add_(centres, back.mul_(input_rates(centres, sizes * (1 + shape.negatives))))


def _noise_rows(vectors: Tensor, blocks: Blocks) -> Tensor:
    """Those of the noise words [passages, shared, channels], which come after those of the text."""
    start = blocks.text.numel()
    return vectors[start : start + blocks.noise.numel()].view(*blocks.noise.shape, -1)


def _of_noise(weights: Tensor, shape: BlockShape) -> Tensor:
    """Updates of each noise word [passages · shared], from predictions made at each place [passages, passage]."""
    return (weights.sum(1) * (shape.negatives / shape.shared)).repeat_interleave(shape.shared)


def _windows(vectors: Tensor, words: int, shape: BlockShape) -> Tensor:
    """Vectors of every block's windows [blocks, span, channels]: overlapping views of the text's [words + ...,
    channels]."""
    channels = vectors.shape[1]
    size = (words // shape.block, shape.span, channels)
    return vectors.as_strided(size, (shape.block * channels, channels, 1))


def _overlapped(change: Tensor, shape: BlockShape, out: Tensor) -> None:
    """Sum the changes of windows [blocks, span, channels] where they overlap, into those of the text `out`."""
    total = out.view(len(change), shape.block, -1)
    total.copy_(change[:, : shape.block])
    for ahead in range(1, -(-shape.span // shape.block)):
        rest = change[:-ahead, ahead * shape.block : (ahead + 1) * shape.block]
        total[ahead:, : rest.shape[1]] += rest


def cbow_loss(
    inputs: Inputs, outputs: Tensor, blocks: Blocks, table: Tensor, shape: BlockShape
) -> tuple[Tensor, Tensor]:
    """Summed loss of all centres that have a context, and their number; differentiable."""
    vectors = inputs(blocks.windows(shape))
    context = torch.embedding(table, blocks.bands).view(len(vectors), shape.block, -1)
    hidden = torch.bmm(context, vectors) / blocks.sizes.to(vectors.dtype).clamp(min=1).view(-1, shape.block, 1)
    real = (blocks.sizes > 0).to(vectors.dtype)
    positive = (hidden * torch.embedding(outputs, blocks.centres(shape))).sum(-1)
    noise = hidden.view(len(blocks), -1, hidden.shape[-1]) @ torch.embedding(outputs, blocks.noise).transpose(1, 2)
    weight = real.unsqueeze(2) * (shape.negatives / shape.shared)
    return (weight * softplus(noise)).sum() - (real * logsigmoid(positive.view_as(real))).sum(), real.sum()


@torch.no_grad()
def cbow_step(
    inputs: Inputs,
    outputs: Tensor,
    blocks: Blocks,
    table: Tensor,
    shape: BlockShape,
    input_rates: RowRates,
    output_rates: RowRates,
) -> None:
    """One gradient step on the loss of all centres in `blocks`, in place. `table` has rows of sum 1: `mean_table`."""
    text = blocks.text.view(-1)
    targets = torch.cat([text.roll(-shape.window), blocks.noise.view(-1)])
    vectors, context = torch.embedding(outputs, targets), inputs(torch.cat([text, text[: 2 * shape.window]]))
    centres, noise = vectors[: len(text)], _noise_rows(vectors, blocks)
    windows = _windows(context, len(text), shape)
    mean = torch.embedding(table, blocks.bands).view(len(windows), shape.block, -1)
    hidden = torch.bmm(mean, windows).view_as(centres)
    passages = hidden.view(len(blocks), -1, hidden.shape[1])
    real = blocks.sizes.clamp(max=1)
    slope = torch.linalg.vecdot(hidden, centres).sigmoid_().sub_(1).mul_(real.view(-1)).unsqueeze(1)
    noise_slope = torch.bmm(passages, noise.transpose(1, 2)).sigmoid_()
    noise_slope.mul_((real * (shape.negatives / shape.shared)).unsqueeze(2))
    back = (centres * slope).view_as(passages).baddbmm_(noise_slope, noise)
    often = torch.cat([real.view(-1), _of_noise(real, shape)])
    change = vectors  # every use of them is over
    torch.mul(hidden, slope, out=change[: len(text)])
    torch.bmm(noise_slope.transpose(1, 2), passages, out=_noise_rows(change, blocks))
    outputs.index_add_(0, targets, change.mul_(output_rates(targets, often)))
    change = context[: len(text)]
    _overlapped(torch.bmm(mean.transpose(1, 2), back.view(len(windows), shape.block, -1)), shape, change)
    inputs.add_(text, change.mul_(input_rates(text, torch.full_like(slope.view(-1), 1 + shape.negatives))))
