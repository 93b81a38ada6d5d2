"""Whatever the cut, the gradient is that of the undivided batch; Lightning's own accumulation has another one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from engine.toys import Regressor, Sequences, ToyData, difference, lightnings_gradient, sequences, train
from tenfold.engine.accumulation import Accumulation, Stepping
from tenfold.engine.batch import cut

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


@st.composite
def partitions(draw: st.DrawFn) -> tuple[int, list[int]]:
    """A seed, and the sizes of up to twelve micro-batches."""
    return draw(st.integers(0, 10_000)), draw(
        st.lists(st.integers(1, 7), min_size=1, max_size=12).filter(lambda s: sum(s) > 1)
    )


def undivided(module: Regressor, batch: Sequences) -> tuple[list[Tensor], dict[str, float]]:
    """The gradient of the whole batch's loss and its terms, without the engine."""
    sums, weights = module.losses(batch), module.weights(batch)
    terms = {name: sums[name] / float(weights[name]) for name in sums if float(weights[name])}
    gradient = torch.autograd.grad(sum(terms.values()), list(module.parameters()))
    return list(gradient), {name: term.item() for name, term in terms.items()}


def accumulated(module: Regressor, batch: Sequences, sizes: list[int] | None = None, **stepping) -> dict[str, Tensor]:
    accumulation = Accumulation(module, Stepping(**stepping))
    module.manual_backward = lambda loss: loss.backward()
    if sizes is not None:
        accumulation._micro_batches = lambda batch: cut(batch, sizes)
    return accumulation.backward(batch, module.losses, module.weights, module.zero_grad)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("network", ["linear", "mlp"])
@settings(derandomize=True, max_examples=40, deadline=None)
@given(partition=partitions())
def test_any_partition_gives_the_gradient_of_the_undivided_batch(partition, network, dtype):
    seed, sizes = partition
    torch.manual_seed(seed)
    module = Regressor(nn.Linear(3, 1) if network == "linear" else None).to(dtype)
    batch = sequences(sum(sizes), seed=seed, dtype=dtype)
    expected, terms = undivided(module, batch)
    means = accumulated(module, batch, sizes)
    assert difference([p.grad for p in module.parameters()], expected) <= TOLERANCE[dtype]
    assert {name: float(mean) for name, mean in means.items() if name in terms} == pytest.approx(terms, rel=1e-5)


@pytest.mark.parametrize("stepping", [{"micro_batch_size": n} for n in (1, 2, 3, 7, 13)])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_size_or_a_number_of_micro_batches_gives_the_same_gradient(stepping, dtype):
    module = Regressor().to(dtype)
    batch = sequences(13, dtype=dtype)
    expected, _ = undivided(module, batch)
    for how in (stepping, {"accumulate_grad_batches": stepping["micro_batch_size"]}):
        module.zero_grad()
        accumulated(module, batch, **how)
        assert difference([p.grad for p in module.parameters()], expected) <= TOLERANCE[dtype]


def test_a_batch_without_any_valid_token_leaves_the_other_terms():
    module, batch = Regressor(), sequences(6)
    batch = batch._replace(valid=torch.zeros_like(batch.valid))
    expected, terms = undivided(module, batch)
    means = accumulated(module, batch, micro_batch_size=2)
    assert float(means["tokens"]) == 0 and "tokens" not in terms
    assert difference([p.grad for p in module.parameters()], expected) <= 1e-5


@pytest.mark.parametrize("last_batch, steps", [("short", 9), ("drop", 6), ("carry", 6)])
def test_epochs_with_a_short_last_batch(last_batch, steps):
    weights = []
    for stepping in (Stepping(), Stepping(micro_batch_size=2), Stepping(accumulate_grad_batches=4)):
        module = Regressor()
        trainer = train(module, ToyData(23, 8, last_batch=last_batch), stepping=stepping, max_epochs=3)
        assert trainer.global_step == steps
        weights.append([p.detach() for p in module.parameters()])
    assert difference(weights[1], weights[0]) <= 1e-5
    assert difference(weights[2], weights[0]) <= 1e-5


def test_a_window_that_spans_epochs_sees_every_sample_equally_often():
    seen: list[Tensor] = []

    class Watched(Regressor):
        def training_step(self, batch: Sequences, batch_idx: int) -> None:
            seen.append(batch.inputs[:, 0, 0])
            super().training_step(batch, batch_idx)

    train(Watched(), ToyData(23, 8, last_batch="carry"), stepping=Stepping(micro_batch_size=3), max_epochs=23)
    assert all(len(batch) == 8 for batch in seen)
    _, counts = torch.cat(seen).unique(return_counts=True)
    assert len(counts) == 23 and set(counts.tolist()) == {
        2 * 8
    }  # 23 epochs of 2 batches of 8 samples are 16 permutations


@pytest.mark.parametrize("case", ["ragged tokens", "short last window"])
def test_lightning_alone_gives_another_gradient(case):
    samples, micro, window = (8, 2, 4) if case == "ragged tokens" else (6, 2, 4)
    module, batch = Regressor(), sequences(samples)
    if case == "short last window":  # micro-batches weigh the same, but three of them are divided by four
        batch = batch._replace(valid=torch.ones_like(batch.valid))
        batch.inputs[:, 0, 0] = 1.0
    expected, _ = undivided(module, batch)
    alone = lightnings_gradient(module, cut(batch, [micro] * (samples // micro)), window)
    accumulated(module, batch, micro_batch_size=micro)
    assert difference([p.grad for p in module.parameters()], expected) <= 1e-5 < 0.1 < difference(alone, expected)


@settings(derandomize=True, max_examples=10, deadline=None)
@given(partition=partitions())
def test_lightning_alone_is_right_about_one_part_only(partition):
    """The partitions that the engine is exact on, above."""
    seed, sizes = partition
    torch.manual_seed(seed)
    module, batch = Regressor(), sequences(sum(sizes), seed=seed)
    expected, _ = undivided(module, batch)
    error = difference(lightnings_gradient(module, cut(batch, sizes), len(sizes)), expected)
    assert error <= 1e-5 if len(sizes) == 1 else error > 1e-3, (sizes, error)
