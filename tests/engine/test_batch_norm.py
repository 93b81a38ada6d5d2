"""batch_norm=whole: activations and running statistics are those of the undivided batch."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from engine.toys import Regressor, ToyData, difference, draw_weights, flat, train
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


class Watched(Regressor):
    def on_before_optimizer_step(self, optimizer) -> None:
        self.gradient = [p.grad.clone() for p in self.parameters()]
        super().on_before_optimizer_step(optimizer)


def normalised() -> Watched:
    return Watched(nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(8, 1)))


def test_the_gradient_takes_the_statistics_as_constants():
    """What the option gives, and how far it is from the undivided gradient: the documented exception."""
    found, constant, whole = normalised(), normalised(), normalised()
    data = ToyData(8, 8, validation=False)
    train(found, data, stepping=WHOLE)
    batch = data.sample("train", 8)
    for module in (constant, whole):
        draw_weights(module, seed=1)
    variance, mean = torch.var_mean(whole.network[0](batch.inputs).detach(), (0, 2), correction=0)
    constant.network[1].forward = lambda x: nn.functional.batch_norm(
        x, mean, variance, *constant.network[1].parameters()
    )
    for module in (constant, whole):
        sums, weights = module.losses(batch), module.weights(batch)
        sum(sums[name] / float(weights[name]) for name in sums).backward()
        module.gradient = [p.grad for p in module.parameters()]
    assert difference(found.gradient, constant.gradient) <= 1e-5
    assert difference(found.gradient[2:], whole.gradient[2:]) <= 1e-5  # exact from the last BatchNorm's own weights on
    assert difference(found.gradient[:1], whole.gradient[:1]) > 1e-3


def test_in_training_the_running_statistics_move_once_a_batch():
    cut_up, whole = normalised(), normalised()
    for module, stepping in ((cut_up, WHOLE), (whole, Stepping())):
        module.config["optimizer"]["lr"] = 0.0
        train(module, ToyData(19, 8), stepping=stepping, max_epochs=2)
    assert int(cut_up.network[1].num_batches_tracked) == 6
    assert difference(cut_up.buffers(), whole.buffers()) <= 1e-5


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_other_precisions(precision):
    module = normalised()
    before = flat(module)
    train(module, ToyData(16, 8), stepping=WHOLE, precision=precision)
    assert flat(module).isfinite().all() and not torch.equal(flat(module), before)


@pytest.mark.parametrize("stepping, times", [(Stepping(micro_batch_size=3), 1), (WHOLE, 0), (Stepping(), 0)])
def test_the_default_says_once_what_it_does(stepping, times):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(normalised(), ToyData(16, 8), stepping=stepping, max_epochs=2)
    assert (
        sum("BatchNorm sees the statistics of each micro-batch" in str(warning.message) for warning in caught) == times
    )
