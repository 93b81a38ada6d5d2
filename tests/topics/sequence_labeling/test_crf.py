"""The CRF layer equals enumeration of all tag sequences in float64, on masks of any form."""

import itertools
import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tenfold.topics.sequence_labeling import batched, chains, viterbi
from tenfold.topics.sequence_labeling.crf import CRF, ChainSum
from tenfold.topics.sequence_labeling.layout import Layout
from tenfold.topics.sequence_labeling.schemes import constraints, violations

pytestmark = pytest.mark.usefixtures("each_way")
LONG = 5_000
BIO = ["O", "B-A", "I-A", "B-B", "I-B"]


def random_crf(num_tags: int, constrained: bool = False, scale: float = 1.0) -> CRF:
    crf = CRF(num_tags, constraints(BIO[:num_tags], "iob2") if constrained else None).double()
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return crf


def enumerate_paths(crf: CRF, emissions: Tensor, mask: Tensor) -> dict[tuple[int, ...], float]:
    """Every possible path over the valid positions of one sequence, with its score."""
    start, transitions, end = (scores.detach() for scores in crf.scores())
    valid = emissions.detach()[mask]
    scores = {}
    for path in itertools.product(range(len(start)), repeat=len(valid)):
        score = sum((valid[t, tag] for t, tag in enumerate(path)), torch.zeros((), dtype=torch.float64))
        score = score + sum(transitions[a, b] for a, b in itertools.pairwise(path))
        if path:
            score = score + start[path[0]] + end[path[-1]]
        if score > -math.inf:
            scores[path] = float(score)
    return scores


def example(seed: int, num_tags: int, length: int, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Four sequences with holes in their masks; the last one is empty."""
    generator = torch.Generator().manual_seed(seed)
    emissions = torch.randn(4, length, num_tags, dtype=torch.float64, generator=generator) * scale
    mask = torch.rand(4, length, generator=generator) > 0.35
    mask[0], mask[3] = True, False
    return emissions, mask


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10_000),
    num_tags=st.integers(1, 4),
    length=st.integers(1, 5),
    constrained=st.booleans(),
    scale=st.sampled_from([0.1, 1.0, 30.0, 1000.0]),
)
def test_equals_enumeration(seed: int, num_tags: int, length: int, constrained: bool, scale: float) -> None:
    torch.manual_seed(seed)
    crf = random_crf(num_tags, constrained, min(scale, 30.0))
    emissions, mask = example(seed, num_tags, length, scale)
    log_partition, marginals = crf.log_partition(emissions, mask), crf.marginals(emissions, mask)
    entropy, decoded = crf.entropy(emissions, mask), crf.decode(emissions, mask)
    paths, log_probs = crf.n_best(emissions, 3, mask)
    for b in range(4):
        scores = enumerate_paths(crf, emissions[b], mask[b])
        values = torch.tensor(list(scores.values()), dtype=torch.float64)
        expected = values.logsumexp(0)
        torch.testing.assert_close(log_partition[b].detach(), expected)
        probs = (values - expected).exp()
        torch.testing.assert_close(marginals[b], marginals_of(scores, probs, mask[b], num_tags))
        surprise = torch.where(probs > 0, -probs * (values - expected), 0).sum()
        torch.testing.assert_close(entropy[b], surprise, atol=1e-9 * max(1, scale), rtol=1e-6)
        ranked = sorted(scores, key=scores.__getitem__, reverse=True)
        assert tuple(decoded[b][mask[b]].tolist()) == ranked[0]
        assert (decoded[b][~mask[b]] == -1).all()
        for n in range(3):
            expected_path = ranked[n] if n < len(ranked) else (-1,) * int(mask[b].sum())
            assert tuple(paths[b, n][mask[b]].tolist()) == expected_path
            log_prob = scores[ranked[n]] - float(expected) if n < len(ranked) else -math.inf
            assert float(log_probs[b, n]) == pytest.approx(log_prob, abs=1e-9 * max(1, scale))


def marginals_of(scores: dict[tuple[int, ...], float], probs: Tensor, mask: Tensor, num_tags: int) -> Tensor:
    marginals = torch.zeros(len(mask), num_tags, dtype=torch.float64)
    positions = mask.nonzero().squeeze(1).tolist()
    for path, prob in zip(scores, probs, strict=True):
        for position, tag in zip(positions, path, strict=True):
            marginals[position, tag] += prob
    return marginals


@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("scale", [1.0, 400.0])
def test_gradients_are_those_of_enumeration(constrained: bool, scale: float) -> None:
    torch.manual_seed(0)
    crf = random_crf(3, constrained)
    emissions, mask = example(1, 3, 4, scale)
    emissions.requires_grad_()
    tags = torch.tensor([[0, 1, 2, 0]] * 4)
    weight = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    wanted = torch.zeros((), dtype=torch.float64)
    start, transitions, end = crf.scores()
    for b in range(3):
        valid = emissions[b][mask[b]]

        def score(path: tuple[int, ...], valid: Tensor = valid) -> Tensor:
            own = valid[range(len(path)), path].sum() + start[path[0]] + end[path[-1]]
            return own + sum(transitions[i, j] for i, j in itertools.pairwise(path))

        possible = enumerate_paths(crf, emissions[b], mask[b])
        gold = tuple(tags[b][mask[b]].tolist())
        wanted = wanted + weight[b] * (torch.stack([score(path) for path in possible]).logsumexp(0) - score(gold))
    inputs = [emissions, *crf.parameters()]
    loss = crf(emissions, tags, mask)
    assert loss[3] == 0
    actual = torch.autograd.grad((weight * loss).nan_to_num(posinf=0, neginf=0).sum(), inputs)
    if torch.isfinite(wanted):
        for gradient, expected in zip(actual, torch.autograd.grad(wanted, inputs), strict=True):
            torch.testing.assert_close(gradient, expected, atol=1e-9, rtol=1e-7)


def test_gradcheck() -> None:
    torch.manual_seed(0)
    crf = random_crf(3)
    emissions, mask = example(3, 3, 5)
    inputs = (emissions.requires_grad_(), crf.start, crf.transitions, crf.end)
    for tags in (None, torch.randint(3, mask.shape)):
        assert torch.autograd.gradcheck(lambda e, *p, tags=tags: ChainSum.apply(e, mask, tags, *p), inputs)


def test_masked_values_are_never_read() -> None:
    torch.manual_seed(0)
    crf = random_crf(5, constrained=True)
    emissions, mask = example(2, 5, 6)
    tags = crf.decode(emissions, mask)
    expected = crf(emissions, tags, mask)
    spoilt = emissions.masked_fill(~mask.unsqueeze(-1), math.nan).requires_grad_()
    loss = crf(spoilt, tags.masked_fill(~mask, -100), mask)
    torch.testing.assert_close(loss, expected)
    loss.sum().backward()
    assert spoilt.grad is not None
    assert (spoilt.grad[~mask] == 0).all()
    assert torch.isfinite(spoilt.grad).all()
    assert torch.equal(crf.decode(spoilt.detach(), mask), tags)


def test_a_hole_equals_the_sequence_without_it() -> None:
    torch.manual_seed(0)
    crf = random_crf(4)
    emissions, tags = torch.randn(1, 6, 4, dtype=torch.float64), torch.randint(4, (1, 6))
    mask = torch.tensor([[True, False, True, True, False, True]])
    joined = crf(emissions[mask].unsqueeze(0), tags[mask].unsqueeze(0))
    torch.testing.assert_close(crf(emissions, tags, mask), joined)


@pytest.mark.parametrize("scale", [1.0, 20.0, 300.0])
def test_float32_keeps_to_float64_on_long_and_steep_sequences(scale: float) -> None:
    """Steep scores with forbidden steps are where scaled probabilities underflow and logarithms take over."""
    torch.manual_seed(0)
    crf = random_crf(5, constrained=True, scale=3.0)
    emissions = torch.randn(8, 120, 5, dtype=torch.float64) * scale
    exact, marginals = crf.log_partition(emissions).detach(), crf.marginals(emissions)
    crf.float()
    torch.testing.assert_close(crf.log_partition(emissions.float()).detach().double(), exact, rtol=1e-5, atol=0)
    torch.testing.assert_close(crf.marginals(emissions.float()).double(), marginals, rtol=0, atol=2e-3)


def test_fast_and_logarithmic_ways_agree() -> None:
    torch.manual_seed(0)
    crf = random_crf(5, constrained=True)
    emissions, mask = example(5, 5, 30)
    symbols, place = torch.arange(mask.numel()).view_as(mask), Layout.of(mask)
    scores = batched.Scores(emissions.flatten(0, 1), *(s.detach() for s in crf.scores()))
    assert not batched._scaled(place, place.positions, scores)[-1].any()
    if kernels := chains.compiled_for(emissions):
        assert not chains._sequential(kernels, symbols, mask, None, scores, False)[1].any()
    log_partition, marginals, pairs, _ = chains.expectations(symbols, mask, None, scores, summed=False)
    slow = batched._logarithmic(place, scores._replace(emissions=place.gather(emissions)))
    for fast, expected in zip((log_partition, place.gather(marginals), pairs), slow, strict=True):
        torch.testing.assert_close(fast, expected)


def test_a_path_that_is_unlikely_at_each_end_is_found() -> None:
    """Its tag is far below the others on the way forward, and to end with it far below what is forbidden."""
    crf = CRF(3)
    emissions = torch.tensor([[[0.0, -40.0, 0.0]]])
    with torch.no_grad():
        crf.start.copy_(torch.tensor([0.0, -40.0, -torch.inf]))
        crf.end.copy_(torch.tensor([-torch.inf, -40.0, 0.0]))
    assert crf.log_partition(emissions).item() == -120
    assert crf.marginals(emissions).tolist() == [[[0, 1, 0]]]


@pytest.mark.parametrize("shape", [(0, 5), (2, 0)])
def test_nothing_costs_nothing(shape: tuple[int, int]) -> None:
    crf, emissions = CRF(3), torch.zeros(*shape, 3)
    assert crf(emissions, torch.zeros(shape, dtype=torch.long)).tolist() == [0] * shape[0]
    assert crf.marginals(emissions).shape == (*shape, 3)
    assert crf.decode(emissions).shape == shape


@torch.no_grad()
def test_emissions_and_scores_of_different_types() -> None:
    torch.manual_seed(0)
    crf, emissions = random_crf(4), torch.randn(2, 6, 4)
    expected = viterbi.best_path(emissions, torch.ones(2, 6, dtype=torch.bool), *crf.float().scores())[0]
    found = viterbi.best_path(emissions, torch.ones(2, 6, dtype=torch.bool), *crf.bfloat16().scores())[0]
    assert found.shape == expected.shape and (found == expected).double().mean() > 0.8


@pytest.mark.parametrize("tag", [-7, 7])
def test_an_unknown_tag_is_refused(tag: int) -> None:
    with pytest.raises(IndexError):
        CRF(3)(torch.zeros(1, 2, 3), torch.tensor([[0, tag]]))


def test_constraints_bind_training_and_decoding() -> None:
    torch.manual_seed(0)
    crf = random_crf(5, constrained=True)
    emissions = torch.randn(16, 12, 5, dtype=torch.float64) * 5
    assert any(violations([BIO[k] for k in row], "iob2") for row in emissions.argmax(-1).tolist())
    assert not any(violations([BIO[k] for k in row], "iob2") for row in crf.decode(emissions).tolist())
    paths, _ = crf.n_best(emissions, 5)
    assert not any(violations([BIO[k] for k in row], "iob2") for row in paths.flatten(0, 1).tolist())
    illegal = torch.tensor([[0, 2]])
    loss = crf(emissions[:1, :2], illegal)
    assert loss.item() == math.inf
    loss.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in crf.parameters() if p.grad is not None)


def test_no_possible_path() -> None:
    crf = CRF(3, constraints(["B-A", "I-A", "I-B"], "iob2"))
    emissions = torch.zeros(1, 3, 3)
    emissions[0, 0, 0] = -math.inf
    assert crf.log_partition(emissions).item() == -math.inf
    assert (crf.marginals(emissions) == 0).all()
    paths, log_probs = crf.n_best(emissions, 2)
    assert (paths == -1).all()
    assert (log_probs == -math.inf).all()


def test_autocast_and_half_emissions_stay_in_float32() -> None:
    torch.manual_seed(0)
    crf = random_crf(50).float()
    emissions = torch.randn(2, 100, 50)
    expected = crf.log_partition(emissions)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(crf.log_partition(emissions), expected)
        half = crf.log_partition(emissions.bfloat16())
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, crf.log_partition(emissions.bfloat16().float()))


def test_compiles_without_a_graph_break() -> None:
    torch.manual_seed(0)
    crf = random_crf(3)
    emissions, mask = example(6, 3, 5)
    emissions.requires_grad_()
    tags = torch.randint(3, mask.shape)
    expected = torch.autograd.grad(crf(emissions, tags, mask).sum(), emissions)[0]
    compiled = torch.compile(crf, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(torch.autograd.grad(compiled(emissions, tags, mask).sum(), emissions)[0], expected)


def test_long_sequence() -> None:
    torch.manual_seed(0)
    crf = random_crf(3).float()
    emissions = torch.randn(1, LONG, 3, requires_grad=True)
    loss = crf(emissions, torch.zeros(1, LONG, dtype=torch.long))
    loss.sum().backward()
    assert emissions.grad is not None
    torch.testing.assert_close(emissions.grad.sum(-1), torch.zeros(1, LONG), atol=1e-4, rtol=0)
    assert crf.decode(emissions.detach()).shape == (1, LONG)


def test_compiled_code_takes_what_it_can() -> None:
    single = torch.zeros(1)
    assert chains.compiled_for(single) is chains._compiled()
    assert chains.compiled_for(single.half()) is None and chains.compiled_for(single.to("meta")) is None
