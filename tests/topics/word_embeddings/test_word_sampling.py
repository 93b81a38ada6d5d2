"""Subsampling and noise follow word2vec's distributions."""

import torch
from scipy.stats import chisquare, kstest

from tenfold.topics.word_embeddings.blocks import BlockCutter, Blocks, BlockShape
from tenfold.topics.word_embeddings.draws import uniform
from tenfold.topics.word_embeddings.sampling import NoiseSampler, keep_probability, noise_probability

COUNTS = torch.tensor([50_000, 12_000, 3_000, 700, 90, 20])
SHAPE = BlockShape(block=16, shared=160)


def cut_text(epoch: int = 0) -> Blocks:
    tokens = torch.repeat_interleave(torch.arange(6), COUNTS)
    tokens = tokens[torch.randperm(len(tokens), generator=torch.Generator().manual_seed(1))]
    return BlockCutter(COUNTS, SHAPE, threshold=1e-3)(tokens[:65_800].view(70, 940), torch.arange(70), epoch)


def test_noise_words_come_with_the_three_quarter_power_of_their_counts() -> None:
    drawn = cut_text().noise.flatten()
    power = torch.tensor([count**0.75 for count in COUNTS.tolist()], dtype=torch.float64)
    expected = power / power.sum() * len(drawn)
    assert len(drawn) > 5_000
    assert chisquare(drawn.bincount(minlength=6).numpy(), expected.numpy()).pvalue > 0.01
    by_count = COUNTS.double() / COUNTS.sum() * len(drawn)
    assert chisquare(drawn.bincount(minlength=6).numpy(), by_count.numpy()).pvalue < 1e-6


def test_noise_sampler_never_leaves_the_vocabulary() -> None:
    assert abs(noise_probability(COUNTS).sum().item() - 1) < 1e-12
    places = uniform(torch.arange(2000), 1, 2, 3)
    assert set(NoiseSampler(torch.ones(7)).invert(places).tolist()) == set(range(7))
    assert NoiseSampler(torch.ones(7)).invert(torch.tensor([1 - 2**-53], dtype=torch.float64)).item() == 6


def test_kept_words_come_with_the_formula_of_word2vec() -> None:
    blocks = cut_text()
    kept = blocks.centres(SHAPE).flatten()[blocks.sizes.flatten() > 0].bincount(minlength=6)  # padding has no contexts
    share = 1e-3 * COUNTS.sum() / COUNTS
    expected = (COUNTS * torch.minimum(torch.ones(6), share.sqrt() + share)).double()
    assert chisquare(kept.numpy(), (expected * kept.sum() / expected.sum()).numpy()).pvalue > 0.01
    assert abs(kept.sum().item() / expected.sum().item() - 1) < 0.05


def test_draws_are_uniform_and_differ_by_epoch_and_purpose() -> None:
    place = torch.arange(5_000)
    first, second, third = uniform(place, 1, 0, 0), uniform(place, 1, 1, 0), uniform(place, 1, 0, 1)
    for drawn in (first, second, third):
        assert kstest(drawn.numpy(), "uniform").pvalue > 0.01
        assert abs(torch.corrcoef(torch.stack([drawn[1:], drawn[:-1]]))[0, 1]) < 0.05
    assert torch.corrcoef(torch.stack([first, second, third])).fill_diagonal_(0).abs().max() < 0.05
    assert torch.equal(uniform(place[7:9], 1, 0, 0), first[7:9])


def test_threshold_zero_keeps_every_word() -> None:
    assert (keep_probability(COUNTS, 0.0) == 1).all()
