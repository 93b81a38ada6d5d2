"""batch_norm=whole, exact: activations and running statistics, and the gradient, are those of the undivided batch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from engine.toys import Gan, Regressor, ToyData, difference, flat, train
from tenfold.engine.accumulation import Stepping
from tenfold.engine.batch import cut
from tenfold.engine.batch_norm import whole_batch_statistics

WHOLE = Stepping(micro_batch_size=3, batch_norm="whole")


def images(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(7, 3, 4, 4, dtype=dtype) * 2 + 100  # far from zero, where a variance by squares would cancel


def network(**arguments) -> nn.Module:
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, **arguments), nn.ReLU(), nn.Conv2d(4, 2, 2), nn.BatchNorm2d(2)]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("arguments", [{}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_outputs_and_running_statistics_equal_those_of_the_whole_batch(arguments, dtype, tolerance):
    whole, parts, x = network(**arguments).to(dtype), network(**arguments).to(dtype), images(dtype)
    for _ in range(3):
        expected = whole(x)
        with whole_batch_statistics(parts, lambda: parts(x)):
            found = torch.cat([parts(micro) for micro in cut(x, [3, 3, 1])])
        assert difference([found], [expected]) <= tolerance
    assert difference(parts.buffers(), whole.buffers()) <= tolerance
    assert difference([parts.eval()(x)], [whole.eval()(x)]) <= tolerance


def test_a_layer_that_is_called_twice_has_two_statistics():
    torch.manual_seed(1)
    layer, x = nn.BatchNorm1d(3), torch.randn(8, 3)
    expected = layer(layer(x) * 2 + 1)
    with whole_batch_statistics(layer, lambda: layer(layer(x) * 2 + 1)):
        found = torch.cat([layer(layer(micro) * 2 + 1) for micro in x.split(3)])
    assert difference([found], [expected]) <= 1e-5


def test_the_layers_are_left_as_they_were_even_after_an_error():
    parts = network()
    with pytest.raises(RuntimeError, match="inside"), whole_batch_statistics(parts, lambda: parts(images())):
        raise RuntimeError("inside")
    assert all("forward" not in vars(layer) for layer in parts)


def test_frozen_layers_keep_their_own_statistics():
    parts = network()
    parts[1].eval()
    before = parts[1].running_mean.clone()
    with whole_batch_statistics(parts, lambda: parts(images())):
        parts(images()[:3])
    assert torch.equal(parts[1].running_mean, before) and not torch.equal(parts[4].running_mean, torch.zeros(2))


def normalised() -> Regressor:
    return Regressor(nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(8, 1)))


class Residual(nn.Module):
    """Two branches that meet, and one layer that is called twice."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        left = self.norms[0](self.convolutions[0](x)).relu()
        right = self.norms[1](self.convolutions[1](x))
        return self.norms[2](left + self.norms[2](self.convolutions[2](right).relu()))


NETWORKS = {
    "mlp": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(48, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 16), nn.BatchNorm1d(16)
    ),
    "cnn": lambda: nn.Sequential(network(), nn.Flatten()),
    "plain": lambda: nn.Sequential(network(affine=False), nn.Flatten()),
    "residual": lambda: nn.Sequential(Residual(3), nn.Tanh(), nn.Flatten()),
}


def gradients(
    name: str, sizes: list[int], seed: int, modes: tuple[str, ...] = ("micro", "whole", "exact")
) -> dict[str, Tensor]:
    """Of one loss in float64, of the whole batch and by each way to normalise its parts."""
    torch.manual_seed(seed)
    model = NETWORKS[name]().double()
    x = torch.randn(sum(sizes), 3, 4, 4).double() * 2 + torch.randn(sum(sizes), 1, 1, 1).double()
    y = torch.randn(model(x[:2]).shape[1]).double()
    losses = [partial(lambda x: (model(x) - y).abs().pow(1.5).sum() / len(y), part) for part in (x, *x.split(sizes))]

    def backward(losses: Iterable[Callable[[], Tensor]]) -> Tensor:
        model.zero_grad()
        for compute in losses:
            compute().backward()
        return flat([p.grad for p in model.parameters()])

    found = {"undivided": backward(losses[:1])}
    for mode in modes:
        exact = losses[1:] if mode == "exact" else ()
        normalise = nullcontext() if mode == "micro" else whole_batch_statistics(model, partial(model, x), exact)
        with normalise:
            found[mode] = backward(losses[1:])
    return found


@pytest.mark.parametrize("name", NETWORKS)
@settings(derandomize=True, max_examples=8, deadline=None)
@given(sizes=st.lists(st.integers(1, 9), min_size=2, max_size=6), seed=st.integers(0, 1000))
def test_exact_is_the_gradient_of_the_whole_batch(name, sizes, seed):
    found = gradients(name, [max(2, size) for size in sizes], seed)
    assert difference([found["exact"]], [found["undivided"]]) <= 1e-12


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("micro", [2, 4, 8])
def test_the_statistics_of_the_whole_batch_bring_the_gradient_nearer(name, micro):
    """`whole` against the default: on average over batches, and exact it is not."""
    errors = {"micro": 0.0, "whole": 0.0}
    for seed in range(6):
        found = gradients(name, [micro] * (32 // micro), seed, modes=tuple(errors))
        for mode in errors:
            errors[mode] += difference([found[mode]], [found["undivided"]]) / 6
    assert 1e-3 < errors["whole"] < errors["micro"], errors


def test_one_value_a_channel_has_constant_statistics():
    """torch refuses to normalise it alone; the rest of the batch says how."""
    found = gradients("mlp", [1] * 5, seed=0, modes=("whole", "exact"))
    assert found["whole"].isfinite().all() and found["whole"][: 48 * 16].norm() > 0
    assert difference([found["exact"]], [found["undivided"]]) <= 1e-12


@pytest.mark.parametrize("precision, tolerance", [("32-true", 1e-5), ("64-true", 1e-12)])
@pytest.mark.parametrize("micro_batch_size", [1, 3, "auto"])
def test_training_with_exact_gradients_ends_like_training_undivided(precision, tolerance, micro_batch_size):
    budget = 0.002 if micro_batch_size == "auto" else None
    found, whole = normalised(), normalised()
    stepping = Stepping(micro_batch_size=micro_batch_size, batch_norm="exact", memory_budget=budget)
    train(found, ToyData(19, 8), stepping=stepping, max_epochs=2, precision=precision)
    train(whole, ToyData(19, 8), max_epochs=2, precision=precision)
    assert (found.accumulation.chosen in (1, 2, 4)) == (micro_batch_size == "auto")
    assert difference(found, whole) <= tolerance and difference(found.buffers(), whole.buffers()) <= tolerance


def test_two_optimizers_with_exact_gradients():
    """A discriminator with BatchNorm: the generator's gradient passes through it, its own does not reach beyond it."""

    def gan() -> Gan:
        module = Gan()
        module.discriminator = nn.Sequential(nn.Linear(1, 6), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(6, 1))
        module.generator = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(6, 1))
        return module

    found, whole = gan(), gan()
    train(found, ToyData(19, 8), stepping=Stepping(micro_batch_size=3, batch_norm="exact"), max_epochs=2)
    train(whole, ToyData(19, 8), max_epochs=2)
    assert difference(found, whole) <= 1e-5


def test_in_training_the_running_statistics_move_once_a_batch():
    cut_up, whole = normalised(), normalised()
    for module, stepping in ((cut_up, WHOLE), (whole, Stepping())):
        module.config["optimizer"]["lr"] = 0.0
        train(module, ToyData(19, 8), stepping=stepping, max_epochs=2)
    assert int(cut_up.network[1].num_batches_tracked) == 6
    assert difference(cut_up.buffers(), whole.buffers()) <= 1e-5


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
@pytest.mark.parametrize("mode", ["whole", "exact"])
def test_other_precisions(precision, mode):
    module = normalised()
    before = flat(module)
    stepping = Stepping(micro_batch_size=3, batch_norm=mode)
    train(module, ToyData(16, 8), stepping=stepping, precision=precision)
    assert flat(module).isfinite().all() and not torch.equal(flat(module), before)


@pytest.mark.parametrize("stepping, times", [(Stepping(micro_batch_size=3), 1), (WHOLE, 0), (Stepping(), 0)])
def test_the_default_says_once_what_it_does(stepping, times):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(normalised(), ToyData(16, 8), stepping=stepping, max_epochs=2)
    assert (
        sum("BatchNorm sees the statistics of each micro-batch" in str(warning.message) for warning in caught) == times
    )
