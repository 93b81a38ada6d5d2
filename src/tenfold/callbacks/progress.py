"""The progress bar: one line for an epoch, looked after by the clock and not by the step."""

from __future__ import annotations

import math
import os
import sys
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

REFRESH_SECONDS = 0.2
PATIENCE_SECONDS = 1.0  # what is over sooner is not worth a line


class Progress(ProgressBar):
    """Epoch, loss, the metric that chooses the checkpoint and samples a second, on standard error.

    On a terminal one bar is drawn over and over. Elsewhere each epoch leaves one plain line, or fewer where several
    epochs pass in a second. Validation and test show a bar of their own, on a terminal, once they have lasted a second.
    Between two refreshes a step costs one look at the clock.
    """

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True
        self._epoch = self._pass = _Bar("", None, due=math.inf)
        self._validated = self._line = ""
        self._written_at = -math.inf

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def print(self, *args: Any, sep: str = " ", **kwargs: Any) -> None:
        tqdm.write(sep.join(map(str, args)), **kwargs)

    def _new_bar(self, name: str, total: float, delay: float) -> _Bar:
        shown = self._enabled and sys.stderr.isatty()
        return _Bar(name, total if math.isfinite(total) else None, time.monotonic() + delay if shown else math.inf)

    # Training --------------------------------------------------------------------------------------------------------

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._epoch.close()
        last = f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
        self._epoch = self._new_bar(f"epoch {trainer.current_epoch + 1}{last}", self.total_train_batches, delay=0)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._epoch.done = batch_idx + 1
        if time.monotonic() >= self._epoch.due:
            self._epoch.draw(self._readings(pl_module))

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._epoch.due < math.inf:
            self._epoch.draw(self._readings(pl_module))
        elif self._enabled:
            self._line = f"{self._epoch.name}, {self._epoch.seconds:.1f} s, {self._readings(pl_module)}"
            if time.monotonic() >= self._written_at + PATIENCE_SECONDS:
                self._write_line()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._write_line()
        self._epoch.close(leave=True)

    def _write_line(self) -> None:
        if self._line:
            print(self._line, file=sys.stderr, flush=True)
            self._line, self._written_at = "", time.monotonic()

    def _readings(self, module: Any) -> str:
        loss = module.journal.latest.get("train/loss")
        speed = module.journal.latest.get("train/samples_per_second")
        readings = ["" if loss is None else f"loss {loss:.4f}", self._validated]
        readings.append("" if speed is None else f"{speed:,.0f} samples/s")
        return ", ".join(reading for reading in readings if reading)

    # Validation and test ---------------------------------------------------------------------------------------------

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        batches = trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches
        self._pass = self._new_bar("validation", sum(batches), delay=PATIENCE_SECONDS)

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._pass = self._new_bar("test", sum(trainer.num_test_batches), delay=PATIENCE_SECONDS)

    def on_validation_batch_end(self, *_: Any, **__: Any) -> None:
        self._pass.done += 1
        if time.monotonic() >= self._pass.due:
            self._pass.draw()

    on_test_batch_end = on_validation_batch_end

    def on_validation_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        self._pass.close()
        name = f"val/{next(iter(pl_module.metrics))}"
        if not trainer.sanity_checking and name in trainer.callback_metrics:
            self._validated = f"{name} {float(trainer.callback_metrics[name]):.4f}"

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._pass.close()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._write_line()
        self._pass.close()
        self._epoch.close(leave=True)


class _Bar:
    """A tqdm bar that appears when it is first drawn.

    name: what it counts.
    total: steps to do, or None where nobody knows.
    due: when, by the monotonic clock, it next wants to be drawn; inf for never.
    """

    def __init__(self, name: str, total: float | None, due: float) -> None:
        self.name, self.total, self.due = name, total, due
        self.done = 0
        self.began = time.monotonic()
        self._bar: tqdm | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def draw(self, readings: str = "") -> None:
        if self._bar is None:
            known = "{percentage:3.0f}% |{bar:20}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}]"
            layout = "{desc}  " + (known if self.total else "{n_fmt} steps [{elapsed}]") + "{postfix}"
            # A delay keeps tqdm from drawing before it is told its width.
            self._bar = tqdm(total=self.total, desc=self.name, bar_format=layout, nrows=20, leave=False, delay=1e-9)
            self._bar.start_t -= self.seconds
        self._bar.ncols = _columns()
        self._bar.n = min(self.done, self.total or math.inf)  # tqdm forgets its total once it is passed
        self._bar.postfix = readings
        self._bar.refresh()
        self.due = time.monotonic() + REFRESH_SECONDS

    def close(self, leave: bool = False) -> None:
        if self._bar is not None:
            self._bar.leave = leave
            self._bar.close()
            self._bar = None
        self.due = math.inf


def _columns() -> int | None:
    """Width of the terminal; None where it does not say, as within many containers, for which tqdm would draw nothing."""
    try:
        return max(os.get_terminal_size(sys.stderr.fileno()).columns - 1, 0) or None
    except (OSError, ValueError):
        return None
