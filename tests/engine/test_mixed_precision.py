"""16-mixed: the loss is scaled up for the backward pass and the gradient down before it is clipped."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch import nn

from engine.toys import Gan, Regressor, ToyData, difference, flat, train
from tenfold.engine.accumulation import Stepping


def half() -> MixedPrecision:
    """Lightning has bfloat16 in place of float16 on the CPU, unless it is given the plugin that a GPU has."""
    return MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=1024.0))


@pytest.mark.parametrize("make", [Regressor, Gan])
@pytest.mark.parametrize("stepping", [{"micro_batch_size": 3}, {"micro_batch_size": "auto", "memory_budget": 0.001}])
def test_micro_batches_end_like_the_whole_batch(make, stepping):
    found, whole, full = make(), make(), make()
    for module, how, more in ((found, stepping, half()), (whole, {}, half()), (full, {}, None)):
        plugins = [more] if more else []
        train(module, ToyData(19, 8), stepping=Stepping(**how, gradient_clip_val=0.5), plugins=plugins, max_epochs=2)
    assert difference(found, whole) <= 1e-3 and difference(found, full) <= 5e-3
    assert not torch.equal(flat(whole), flat(full))  # half precision it was


def test_batch_norm_with_exact_gradients_knows_the_scale():
    def normalised() -> Regressor:
        return Regressor(nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(8, 1)))

    found, whole = normalised(), normalised()
    exact = Stepping(micro_batch_size=3, batch_norm="exact")
    train(found, ToyData(19, 8), stepping=exact, plugins=[half()], max_epochs=2)
    train(whole, ToyData(19, 8), max_epochs=2)
    assert difference(found, whole) <= 5e-3


def test_a_step_whose_scaled_gradient_overflows_is_left_out():
    class Large(Regressor):
        def losses(self, batch):
            return {name: total * 1e5 for name, total in super().losses(batch).items()}

        def on_train_start(self) -> None:
            super().on_train_start()
            self.before = flat(self)

    module, plugin = Large(), half()
    train(module, ToyData(8, 8, validation=False), stepping=Stepping(micro_batch_size=3), plugins=[plugin])
    assert torch.equal(flat(module), module.before) and plugin.scaler.get_scale() == 512.0
