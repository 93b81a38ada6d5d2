"""The memory report tells the truth and leaves training as it would have been."""

from __future__ import annotations

import json
import warnings

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from engine.toys import Gan, Regressor, ToyData, flat, sgd, train
from tenfold.callbacks import memory as report
from tenfold.callbacks.memory import MemoryReport, table
from tenfold.engine import memory
from tenfold.engine.accumulation import Stepping


class Norm(nn.Module):
    """BatchNorm over the steps of sequences: buffers to be put back."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(x.transpose(1, 2)).transpose(1, 2)


def network() -> nn.Module:
    return nn.Sequential(Norm(), nn.Linear(3, 64), nn.Tanh(), nn.Dropout(0.5), nn.Linear(64, 1))


def fit(module, folder, *callbacks, stepping: Stepping | None = None, **trainer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return train(module, ToyData(40, 16), folder, stepping, callbacks=list(callbacks), max_epochs=2, **trainer)


def test_training_goes_on_as_without_the_report(tmp_path):
    states = []
    for callbacks in ([], [MemoryReport()]):
        module = Regressor(network(), optimizer=sgd(momentum=0.9))
        trainer = fit(module, tmp_path, *callbacks, stepping=Stepping(micro_batch_size=8))
        assert "update" not in vars(module)
        states.append((module.state_dict(), trainer.optimizers[0].state_dict()["state"], torch.get_rng_state()))
    (weights, momenta, random), (weights_with, momenta_with, random_with) = states
    assert all(torch.equal(weights[name], weights_with[name]) for name in weights)
    assert int(weights["network.0.norm.num_batches_tracked"]) == 2 * (2 + 2 + 1)
    for index in momenta:
        assert torch.equal(momenta[index]["momentum_buffer"], momenta_with[index]["momentum_buffer"])
    assert torch.equal(random, random_with)


def test_gradients_that_were_there_are_put_back(tmp_path):
    seen = []

    class Watched(Regressor):
        def update(self, *arguments):
            seen.append([None if p.grad is None else p.grad.clone() for p in self.parameters()])
            return super().update(*arguments)

        def on_train_start(self) -> None:
            super().on_train_start()
            for number, parameter in enumerate(self.parameters()):
                parameter.grad = torch.full_like(parameter, number) if number else None

    fit(Watched(), tmp_path, MemoryReport())
    assert seen[0][0] is None
    assert all(bool((gradient == number).all()) for number, gradient in enumerate(seen[0]) if number)


def test_the_peak_falls_with_the_micro_batch_and_is_what_the_engine_needs(tmp_path):
    callback = MemoryReport()
    fit(Regressor(network()), tmp_path, callback)
    assert [(row.part, row.micro_batch_size, row.micro_batches) for row in callback.rows] == [
        ("network", size, 16 // size) for size in (16, 8, 4, 2, 1)
    ]
    peaks = [row.activations_mib for row in callback.rows]
    assert peaks == sorted(peaks, reverse=True) and peaks[0] > 4 * peaks[-1]
    for budget, size in ((peaks[0], None), (peaks[0] * 0.99, 8), (peaks[1] * 0.99, 4)):
        module = Regressor(network())
        fit(module, tmp_path, stepping=Stepping(micro_batch_size="auto", memory_budget=budget))
        assert module.accumulation.chosen == size  # "auto" comes to the size that the report names


def test_it_is_written_to_log_dashboard_and_run_folder(tmp_path, caplog):
    caplog.set_level("INFO", logger=report.__name__)
    callback = MemoryReport()
    fit(Regressor(), tmp_path, callback, logger=TensorBoardLogger(tmp_path, name="", version=""))
    rows = json.loads((tmp_path / "memory.json").read_text())["rows"]
    assert rows[0]["micro_batch_size"] == 16 and rows[0]["activations_mib"] == callback.rows[0].activations_mib
    assert table(callback.rows) in caplog.text
    assert f"| network | 16 | 1 | {rows[0]['activations_mib']:.2f} |" in table(callback.rows)
    assert "memory/report/text_summary" in EventAccumulator(str(tmp_path)).Reload().Tags()["tensors"]


def test_parts_that_take_turns_are_each_measured(tmp_path):
    callback, module = MemoryReport(), Gan(batches_each=3)
    fit(module, tmp_path, callback)
    assert [row.part for row in callback.rows if row.micro_batches == 1] == ["discriminator", "generator"]
    assert all(row.activations_mib for row in callback.rows)
    plain = Gan(batches_each=3)
    fit(plain, tmp_path)
    assert torch.equal(flat(module), flat(plain))


def test_a_size_that_does_not_fit_is_told_as_such(tmp_path, monkeypatch):
    measured = memory.measured
    monkeypatch.setattr(memory, "measured", lambda: measured(budget=0.005))
    callback = MemoryReport()
    fit(Regressor(network()), tmp_path, callback)
    assert callback.rows[0].activations_mib is None and callback.rows[-1].activations_mib is not None
    assert "| network | 16 | 1 | does not fit |" in table(callback.rows)


def test_it_ends_at_the_smallest_size_that_batch_norm_takes(tmp_path):
    """Of one sample BatchNorm can learn nothing; of 10 samples in threes one is left over."""

    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x):
            return x * self.norm(x.mean(1))[:, None]

    states = []
    for size, expected in ((16, [16, 8, 4, 2]), (10, [10, 5])):
        for callbacks in ([], [MemoryReport()]):
            module = Regressor(nn.Sequential(Pooled(), nn.Linear(3, 1)))
            train(module, ToyData(2 * size, size), tmp_path, callbacks=callbacks)
            states.append(module.state_dict())
        assert [row.micro_batch_size for row in callbacks[0].rows] == expected
    for without, reported in (states[:2], states[2:]):
        assert all(torch.equal(without[name], reported[name]) for name in without)


def test_the_callback_can_be_asked_for(tmp_path):
    from tenfold.commands.train import run
    from tenfold.config.compose import compose

    overrides = [
        "experiment=classification/iris",
        "callbacks=[default,memory]",
        f"folder={tmp_path / 'run'}",
        "threads=1",
    ]
    config = compose("train", [*overrides, "trainer.max_epochs=1", "callbacks.progress=null", "test=false"])
    assert run(config) == 0
    assert (tmp_path / "run" / "memory.json").is_file()
    assert "micro-batch size" in (tmp_path / "run" / "run.log").read_text()


@pytest.mark.parametrize("size, activations, told", [(2, 1.5, "1.50"), (4, None, "does not fit")])
def test_the_table_has_a_row_for_each_size(size, activations, told):
    assert f"| network | {size} | 3 | {told} |" in table([report.Row("network", size, 3, activations)])
