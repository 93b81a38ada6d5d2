"""The HMM equals enumeration of all tag sequences in float64, and its EM never loses likelihood."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from tenfold.topics.sequence_labeling.hmm import HMM, NUMBERS_AT_ONCE, Counts, pack

pytestmark = pytest.mark.usefixtures("each_way")


def random_hmm(seed: int, num_tags: int = 3, num_symbols: int = 4) -> HMM:
    torch.manual_seed(seed)
    hmm = HMM(num_tags, num_symbols).double()
    hmm.maximise(Counts(*(torch.rand_like(buffer) for buffer in hmm.buffers())))
    return hmm


def enumerate_paths(hmm: HMM, symbols: list[int]) -> dict[tuple[int, ...], Tensor]:
    """The log-probability of each path together with the symbols."""
    paths = {}
    for path in itertools.product(range(len(hmm.start)), repeat=len(symbols)):
        moves = sum((hmm.transitions[a, b] for a, b in itertools.pairwise(path)), hmm.start[path[0]])
        paths[path] = moves + sum(hmm.emissions[symbol, tag] for symbol, tag in zip(symbols, path, strict=True))
    return paths


def example() -> tuple[Tensor, Tensor]:
    symbols = torch.tensor([[0, 3, 1, 2], [2, 2, 9, 9], [9, 1, 9, 0]])
    return symbols, torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1]]).bool()


def test_likelihood_marginals_and_path_equal_enumeration() -> None:
    hmm, (symbols, mask) = random_hmm(0), example()
    likelihood, marginals, decoded = (f(symbols, mask) for f in (hmm.log_likelihood, hmm.marginals, hmm.decode))
    for b in range(3):
        paths = enumerate_paths(hmm, symbols[b][mask[b]].tolist())
        values = torch.stack(list(paths.values()))
        torch.testing.assert_close(likelihood[b], values.logsumexp(0))
        assert tuple(decoded[b][mask[b]].tolist()) == max(paths, key=lambda path: float(paths[path]))
        for t, position in enumerate(mask[b].nonzero().squeeze(1).tolist()):
            for tag in range(3):
                share = sum(p.exp() for path, p in paths.items() if path[t] == tag) / values.exp().sum()
                assert float(marginals[b, position, tag]) == pytest.approx(float(share))


def test_expected_counts_equal_enumeration() -> None:
    hmm, (symbols, mask) = random_hmm(1), example()
    _, counts = hmm.expect(symbols, mask)
    wanted = Counts(*(torch.zeros_like(buffer) for buffer in hmm.buffers()))
    for b in range(3):
        observed = symbols[b][mask[b]].tolist()
        paths = enumerate_paths(hmm, observed)
        total = torch.stack(list(paths.values())).logsumexp(0)
        for path, value in paths.items():
            share = (value - total).exp()
            wanted.start[path[0]] += share
            for a, c in itertools.pairwise(path):
                wanted.transitions[a, c] += share
            for symbol, tag in zip(observed, path, strict=True):
                wanted.emissions[symbol, tag] += share
    for count, expected in zip(counts, wanted, strict=True):
        torch.testing.assert_close(count, expected)


def test_supervised_counts_and_smoothing() -> None:
    hmm, (symbols, mask) = random_hmm(2), example()
    tags = torch.tensor([[0, 1, 1, 2], [2, 0, -1, -1], [-1, 1, -1, 1]])
    counts = hmm.count(symbols, tags, mask)
    assert counts.start.tolist() == [1, 1, 1]
    assert counts.transitions.tolist() == [[0, 1, 0], [0, 2, 1], [1, 0, 0]]
    assert counts.emissions.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 2], [0, 1, 0]]
    hmm.maximise(counts)
    assert hmm.start.exp().tolist() == pytest.approx([1 / 3] * 3)
    assert hmm.transitions[1].exp().tolist() == pytest.approx([0, 2 / 3, 1 / 3])
    assert hmm.emissions[:, 2].exp().tolist() == pytest.approx([0, 0, 1, 0])
    hmm.maximise(counts, smoothing=0.5)
    assert hmm.emissions[:, 2].exp().tolist() == pytest.approx([0.125, 0.125, 0.625, 0.125])


def test_a_tag_without_counts_is_uniform() -> None:
    hmm = random_hmm(3, num_tags=2)
    hmm.maximise(Counts(torch.tensor([1.0, 0.0]), torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.zeros(4, 2)))
    assert hmm.transitions[1].exp().tolist() == pytest.approx([0.5, 0.5])
    assert hmm.emissions.exp().flatten().tolist() == pytest.approx([0.25] * 8)


def test_expectation_maximisation_climbs_to_a_model_as_good_as_the_true_one() -> None:
    truth = HMM(2, 4).double()
    truth.start.copy_(torch.tensor([0.9, 0.1]).log())
    truth.transitions.copy_(torch.tensor([[0.8, 0.2], [0.1, 0.9]]).log())
    truth.emissions.copy_(torch.tensor([[0.7, 0.05], [0.2, 0.05], [0.05, 0.2], [0.05, 0.7]]).log())
    sequences = sample(truth, 60, torch.Generator().manual_seed(0))
    batches = pack(sequences, tokens=200)
    assert sum(int(mask.sum()) for _, mask in batches) == sum(map(len, sequences))
    assert all(symbols.numel() <= 200 for symbols, _ in batches)
    torch.manual_seed(0)
    hmm = HMM(2, 4).double()
    history = hmm.fit(batches, max_iterations=60, tolerance=1e-3)
    assert all(b >= a - 1e-9 for a, b in itertools.pairwise(history))
    assert history[-1] >= sum(float(truth.log_likelihood(*batch).sum()) for batch in batches)


def sample(hmm: HMM, count: int, generator: torch.Generator) -> list[Tensor]:
    def draw(log_probs: Tensor) -> int:
        return int(torch.multinomial(log_probs.exp(), 1, generator=generator))

    sequences = []
    for length in torch.randint(3, 20, (count,), generator=generator).tolist():
        tag, symbols = draw(hmm.start), []
        for _ in range(length):
            symbols.append(draw(hmm.emissions[:, tag]))
            tag = draw(hmm.transitions[tag])
        sequences.append(torch.tensor(symbols))
    return sequences


def test_impossible_symbols_have_no_likelihood() -> None:
    hmm = random_hmm(4)
    hmm.emissions[0] = -math.inf
    assert hmm.log_likelihood(torch.tensor([[1, 0]]), torch.ones(1, 2, dtype=torch.bool)).item() == -math.inf


def test_pack_of_nothing() -> None:
    assert pack([]) == []


def test_a_model_with_more_tags_packs_less_at_once() -> None:
    sequences = [torch.zeros(100, dtype=torch.long)] * 50
    batches = HMM(100, 2).pack(sequences)
    assert sum(len(symbols) for symbols, _ in batches) == 50
    assert max(symbols.numel() for symbols, _ in batches) * 100 <= NUMBERS_AT_ONCE
    assert len(HMM(2, 2).pack(sequences)) == 1
