"""Ctrl-C: finish the step, save, and say how to go on."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint

from tenfold.engine.runs import CHECKPOINTS

_MIDWAY = "midway.ckpt"  # last.ckpt before its time


class Interrupted(Exception):
    """Training was stopped by a person, after its state had been saved to `path` at optimizer step `step`."""

    def __init__(self, path: Path, step: int) -> None:
        super().__init__(f"stopped at step {step}, saved to {path}")
        self.path, self.step = path, step


class Interrupt(Checkpoint):
    """On SIGINT or SIGTERM, let the optimizer step end, save `last.ckpt`, and leave by `Interrupted`.

    The last step of an epoch is followed by its validation first. A second signal stops at once, as if this callback
    were not there. A run that `max_steps` ends in the middle of an epoch leaves a `last.ckpt` of that place, too, so
    that one that goes on from there has the rest of the epoch. Being a `Checkpoint`, it comes after all callbacks that
    have a state to save, such as a weight average.
    """

    signals = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        try:
            self._before = {number: signal.signal(number, self._ask) for number in self.signals}
        except ValueError:  # not in the main thread: signals are somebody else's
            self._before = {}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        asked = self._anywhere(trainer)
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        if asked:
            self._stop(trainer)
        if -1 < trainer.max_steps <= trainer.global_step and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.save_checkpoint(_folder(trainer) / _MIDWAY)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._anywhere(trainer):
            self._stop(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Lightning counts the epoch that `max_steps` cut short as done, and so says what was saved at its end."""
        midway = _folder(trainer) / _MIDWAY
        if trainer.is_global_zero and midway.is_file():
            midway.replace(_folder(trainer) / "last.ckpt")

    def _stop(self, trainer: L.Trainer) -> None:
        path = _folder(trainer) / "last.ckpt"
        trainer.save_checkpoint(path)
        raise Interrupted(path, trainer.global_step)

    def _anywhere(self, trainer: L.Trainer) -> bool:
        """Whether any rank was asked to stop, so that all stop after the same step."""
        if trainer.world_size == 1:
            return self.asked
        flag = torch.tensor(float(self.asked), device=trainer.strategy.root_device)
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
        return bool(flag.item())

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._restore()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


def _folder(trainer: L.Trainer) -> Path:
    return Path(trainer.default_root_dir) / CHECKPOINTS
