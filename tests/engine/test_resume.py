"""A run that is stopped and resumed ends with the weights of one that was not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, ModelCheckpoint
from torch import nn

from engine.toys import Regressor, ToyData, flat, sgd, train, warmup
from tenfold.callbacks.interrupt import Interrupt, Interrupted
from tenfold.engine.accumulation import Stepping
from tenfold.engine.retuned import retune

PLATEAU = {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "patience": 0, "threshold": 0.9, "factor": 0.5}
EPOCHS = {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1, "gamma": 0.5, "interval": "epoch"}


class StopAt(L.Callback):
    """Asks for a stop as a signal would, during the given batch (counted over epochs)."""

    def __init__(self, interrupt: Interrupt, batch: int) -> None:
        self.interrupt, self.batch = interrupt, batch

    def on_train_batch_start(self, trainer: L.Trainer, *_) -> None:
        if trainer.fit_loop.total_batch_idx == self.batch:
            self.interrupt.asked = True


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Tanh(), nn.Linear(8, 1))


def run(
    folder: Path,
    stop_at: int = -1,
    resume: bool = False,
    ema: bool = False,
    validation: bool = True,
    max_steps: int = -1,
    **config,
):
    """Three epochs of five batches, the last one short; the module, and the metrics of every validation."""
    adam = {"_target_": "torch.optim.AdamW", "lr": 0.01}
    module = Regressor(network(), **({"optimizer": adam, "scheduler": warmup()} | config))
    interrupt = Interrupt()
    checkpoint = ModelCheckpoint(folder / "checkpoints", save_last=True, save_top_k=1, filename="best")
    callbacks = [checkpoint, StopAt(interrupt, stop_at), interrupt]
    callbacks += [EMAWeightAveraging(decay=0.8)] if ema else []
    data = ToyData(18, 4, validation=validation)
    last = folder / "checkpoints" / "last.ckpt"
    try:
        train(
            module,
            data,
            folder,
            Stepping(micro_batch_size=3),
            seed=2 if resume else 1,
            max_epochs=3,
            max_steps=max_steps,
            callbacks=callbacks,
            ckpt_path=last if resume else None,
            enable_checkpointing=True,
        )
    except Interrupted as stop:
        return None if stop.path == last else pytest.fail(f"saved to {stop.path}")
    return module


@pytest.mark.parametrize("ema", [False, True])
@pytest.mark.parametrize("stop_at", [0, 2, 4, 5, 8, 9, 14])
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(tmp_path, stop_at, ema):
    expected = run(tmp_path / "whole", ema=ema)
    assert run(tmp_path / "parts", stop_at, ema=ema) is None
    resumed = run(tmp_path / "parts", resume=True, ema=ema)
    if ema and stop_at == 14:  # nothing was left to train, so nobody put the average in the weights' place
        weights = torch.load(tmp_path / "parts/checkpoints/last.ckpt")["state_dict"].values()
        assert torch.equal(flat(weights), flat(expected))
    else:
        assert torch.equal(flat(resumed), flat(expected))
    assert resumed.trainer.global_step == expected.trainer.global_step == 15 and resumed.trainer.current_epoch == 3
    assert resumed.learning_rates() == expected.learning_rates()


@pytest.mark.parametrize("ema", [False, True])
@pytest.mark.parametrize("steps", [3, 5, 7, 14])
def test_a_run_of_so_many_steps_goes_on_as_if_it_had_been_of_more(tmp_path, steps, ema):
    expected = run(tmp_path / "whole", ema=ema, scheduler=EPOCHS)
    run(tmp_path / "parts", max_steps=steps, ema=ema, scheduler=EPOCHS)
    assert [path.name for path in (tmp_path / "parts" / "checkpoints").glob("[lm]*")] == ["last.ckpt"]
    resumed = run(tmp_path / "parts", resume=True, ema=ema, scheduler=EPOCHS)
    assert torch.equal(flat(resumed), flat(expected)) and resumed.trainer.global_step == 15


@pytest.mark.parametrize("scheduler", [PLATEAU, EPOCHS], ids=["plateau", "epoch"])
@pytest.mark.parametrize("stop_at", [3, 4, 9])
def test_schedules_of_epochs_go_on_too(tmp_path, stop_at, scheduler):
    expected = run(tmp_path / "whole", scheduler=scheduler)
    run(tmp_path / "parts", stop_at, scheduler=scheduler)
    resumed = run(tmp_path / "parts", resume=True, scheduler=scheduler)
    assert torch.equal(flat(resumed), flat(expected)) and resumed.learning_rates() == expected.learning_rates()


def test_without_validation(tmp_path):
    expected = run(tmp_path / "whole", validation=False, scheduler=EPOCHS)
    for stop_at in (2, 4):
        run(tmp_path / f"parts{stop_at}", stop_at, validation=False, scheduler=EPOCHS)
        resumed = run(tmp_path / f"parts{stop_at}", resume=True, validation=False, scheduler=EPOCHS)
        assert torch.equal(flat(resumed), flat(expected))


@pytest.mark.parametrize("scheduler", [warmup(final=0.5), PLATEAU, None], ids=["steps", "plateau", "none"])
def test_a_changed_learning_rate_and_decay_are_followed(tmp_path, scheduler):
    """At a tenth of the rate the rates that follow are a tenth of what they would have been."""
    changed = {"_target_": "torch.optim.AdamW", "lr": 0.001, "weight_decay": 0.3}
    expected = run(tmp_path / "whole", scheduler=scheduler).learning_rates()["train/lr"]
    run(tmp_path / "parts", 7, scheduler=scheduler)
    resumed = run(tmp_path / "parts", resume=True, scheduler=scheduler, optimizer=changed)
    assert resumed.learning_rates()["train/lr"] == pytest.approx(expected / 10)
    decays = [group["weight_decay"] for group in resumed.trainer.optimizers[0].param_groups]
    assert decays == [0.3, 0.0]  # that of norms and biases stays


def test_a_changed_patience_is_followed(tmp_path):
    module = Regressor()
    callback = EarlyStopping("val/loss", patience=7)
    module._trainer = SimpleNamespace(callbacks=[callback])
    checkpoint = {"callbacks": {callback.state_key: {"patience": 2}}}
    retune(checkpoint, {}, module)
    assert checkpoint["callbacks"][callback.state_key]["patience"] == 7


class Crash(L.Callback):
    def on_train_batch_start(self, trainer: L.Trainer, *_) -> None:
        if trainer.fit_loop.total_batch_idx == 12:
            raise RuntimeError("power failure")


@pytest.mark.parametrize("scheduler", [warmup(), PLATEAU, EPOCHS], ids=["steps", "plateau", "epoch"])
def test_from_the_checkpoint_of_an_epochs_end(tmp_path, monkeypatch, scheduler):
    """The run dies in its third epoch; last.ckpt is that of the second epoch's validation."""
    expected = run(tmp_path / "whole", scheduler=scheduler, ema=True)
    monkeypatch.setattr(StopAt, "on_train_batch_start", Crash.on_train_batch_start)
    with pytest.raises(RuntimeError, match="power failure"):
        run(tmp_path / "parts", scheduler=scheduler, ema=True)
    monkeypatch.undo()
    resumed = run(tmp_path / "parts", resume=True, scheduler=scheduler, ema=True)
    assert torch.equal(flat(resumed), flat(expected)) and resumed.learning_rates() == expected.learning_rates()


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path):
    runs = [run(tmp_path / str(i)) for i in range(2)]
    assert torch.equal(flat(runs[0]), flat(runs[1]))
    assert runs[0].trainer.callback_metrics == runs[1].trainer.callback_metrics != {}
    other = Regressor(network(), optimizer=sgd())
    train(other, ToyData(18, 4), tmp_path, seed=7, max_epochs=3)
    assert not torch.equal(flat(other), flat(runs[0]))
