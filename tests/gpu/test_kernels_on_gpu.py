"""Kernels of our own give on a GPU what they give on a CPU, where the other tests hold them against brute force."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tenfold.data.text.subwords import subword_rows
from tenfold.topics.sequence_labeling.crf import CRF
from tenfold.topics.sequence_labeling.schemes import constraints
from tenfold.topics.word_embeddings import hierarchical, negative_sampling
from tenfold.topics.word_embeddings.blocks import SENTENCE_END, BlockCutter, Blocks, BlockShape, band_table, mean_table
from tenfold.topics.word_embeddings.rates import RowRates
from tenfold.topics.word_embeddings.tables import SubwordTable, WordTable

if not torch.cuda.is_available():
    pytest.skip("needs a GPU", allow_module_level=True)

BIO = ["O", "B-A", "I-A", "B-B", "I-B"]


def everything(crf: CRF, emissions: Tensor, tags: Tensor, mask: Tensor) -> list[Tensor]:
    emissions = emissions.detach().requires_grad_()
    crf.zero_grad()
    loss = crf(emissions, tags, mask)
    (loss * torch.arange(1, 1 + len(loss), device=loss.device)).sum().backward()
    gradients = [emissions.grad, *(parameter.grad for parameter in crf.parameters())]
    paths, scores = crf.n_best(emissions, 3, mask)
    answers = [crf.marginals(emissions, mask), crf.entropy(emissions, mask), crf.decode(emissions, mask), paths, scores]
    return [value.detach().cpu() for value in (loss, *gradients, *answers)]


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 2e-4)])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_the_crf_is_the_same_on_masks_with_holes(constrained, dtype, tolerance, scale):
    torch.manual_seed(0)
    crf = CRF(len(BIO), constraints(BIO, "iob2") if constrained else None).to(dtype)
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    emissions, mask = torch.randn(6, 40, len(BIO), dtype=dtype) * scale, torch.rand(6, 40) > 0.3
    mask[0], mask[5] = True, False
    tags = torch.zeros(6, 40, dtype=torch.long)  # outside of all spans: never forbidden
    expected = everything(crf, emissions, tags, mask)
    found = everything(crf.cuda(), emissions.cuda(), tags.cuda(), mask.cuda())
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * scale)


def test_the_crf_stays_in_full_precision_inside_autocast():
    torch.manual_seed(0)
    crf, emissions = CRF(7).cuda(), torch.randn(4, 30, 7, device="cuda")
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    expected = crf.log_partition(emissions)
    with torch.autocast("cuda", torch.bfloat16):
        assert torch.equal(crf.log_partition(emissions), expected)


def word_step(device: str, subwords: bool, cbow: bool, tree: bool) -> list[Tensor]:
    """Loss, gradient and a step of all words of a short text, in float64."""
    words, shape = 20, BlockShape(3, 4, 8, 5, 2)
    generator = torch.Generator().manual_seed(11)
    rows, offsets = subword_rows([f"wort{number}" for number in range(words)], 30)
    inputs = (SubwordTable(rows, offsets, words + 30, 6) if subwords else WordTable(words, 6)).double()
    inputs.weight.data.normal_(generator=generator)
    inputs.to(device)
    outputs = torch.randn(words, 6, dtype=torch.double, generator=generator).to(device).requires_grad_()
    tokens = torch.randint(words, (3, 20), generator=generator)
    tokens[:, ::13] = SENTENCE_END
    cutter = BlockCutter(torch.ones(words), shape, 0.045)
    cutter.to(torch.device(device))
    blocks = cutter(tokens.to(device), torch.arange(3, device=device), 0)
    blocks = Blocks(blocks.text, blocks.bands, blocks.sizes.double(), blocks.noise)
    table = band_table(shape).double().to(device)
    rates = [RowRates(0.3, 0.5, words, torch.zeros(1, dtype=torch.double, device=device)) for _ in range(2)]
    if tree:
        nodes = hierarchical.Hierarchy(torch.arange(words, 0, -1) ** 2, shape.window).double().to(device)
        loss, _ = hierarchical.path_loss(inputs, outputs, blocks, nodes, cbow, shape)
    else:
        loss, _ = (negative_sampling.cbow_loss if cbow else negative_sampling.skipgram_loss)(
            inputs, outputs, blocks, table, shape
        )
    loss.backward()
    results = [loss.detach(), inputs.weight.grad.clone(), outputs.grad.clone()]
    if tree:
        hierarchical.path_step(inputs, outputs.detach(), blocks, nodes, cbow, shape, *rates)
    elif cbow:
        negative_sampling.cbow_step(inputs, outputs.detach(), blocks, mean_table(table), shape, *rates)
    else:
        negative_sampling.skipgram_step(inputs, outputs.detach(), blocks, table, shape, *rates)
    return [value.detach().cpu() for value in (*results, inputs.weight, outputs)]


@pytest.mark.parametrize("tree", [False, True])
@pytest.mark.parametrize("subwords", [False, True])
@pytest.mark.parametrize("cbow", [False, True])
def test_word_vectors_lose_and_learn_the_same(subwords, cbow, tree):
    here, there = (word_step(device, subwords, cbow, tree) for device in ("cpu", "cuda"))
    for found, expected in zip(there, here, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
