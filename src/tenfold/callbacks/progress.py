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
        self._epoch, self._pass = _Bar(), _Bar()
        self._validated = self._line = ""
        self._written_at = -math.inf

    def enable(self) -> None:
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def print(self, *args: Any, sep: str = " ", **kwargs: Any) -> None:
        tqdm.write(sep.join(map(str, args)), **kwargs)

    def _start(self, bar: _Bar, name: str, total: float, delay: float) -> None:
        bar.start(name, total if math.isfinite(total) else None)
        if not (self._enabled and sys.stderr.isatty()):
            bar.due = math.inf
        elif bar.due == math.inf:
            bar.due = time.monotonic() + delay

    # Training --------------------------------------------------------------------------------------------------------

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        last = f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
        self._start(self._epoch, f"epoch {trainer.current_epoch + 1}{last}", self.total_train_batches, delay=0)
        self._draw_epoch_when_due(pl_module)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._epoch.done = batch_idx + 1
        self._draw_epoch_when_due(pl_module)

    def _draw_epoch_when_due(self, module: L.LightningModule) -> None:
        if time.monotonic() >= self._epoch.due:
            self._epoch.draw(self._readings(module))

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._draw_epoch_when_due(pl_module)
        if self._enabled and self._epoch.due == math.inf:
            self._line = f"{self._epoch.name}, {self._epoch.seconds:.1f} s, {self._readings(pl_module)}"
            if time.monotonic() >= self._written_at + PATIENCE_SECONDS:
                self._write_line()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._write_line()
        self._epoch.close(self._readings(pl_module))

    def _write_line(self) -> None:
        if self._line:
            print(self._line, file=sys.stderr, flush=True)
            self._line, self._written_at = "", time.monotonic()

    def _readings(self, module: Any) -> str:
        latest = module.journal.latest if hasattr(module, "journal") else {}  # there is none before fit has begun
        loss, speed = latest.get("train/loss"), latest.get("train/samples_per_second")
        readings = ["" if loss is None else f"loss {loss:.4f}", self._validated]
        readings.append("" if speed is None else f"{speed:,.0f} samples/s")
        return ", ".join(reading for reading in readings if reading)

    # Validation and test ---------------------------------------------------------------------------------------------

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        batches = trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches
        self._start(self._pass, "validation", sum(batches), PATIENCE_SECONDS)

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start(self._pass, "test", sum(trainer.num_test_batches), PATIENCE_SECONDS)

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
        self._epoch.close(self._readings(pl_module))


class _Bar:
    """A line of tqdm that appears when it is first drawn.

    due: when, by the monotonic clock, it next wants to be drawn; inf for never.
    """

    def __init__(self) -> None:
        self.due = math.inf
        self._line: tqdm | None = None

    def start(self, name: str, total: float | None) -> None:
        self.name, self.total, self.done, self._began = name, total, 0, time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def draw(self, readings: str = "") -> None:
        if self._line is None:  # the delay keeps tqdm from drawing before it is told anything
            self._line = tqdm(nrows=20, leave=False, delay=1e-9)
        line, known = self._line, "{percentage:3.0f}% |{bar:20}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}]"
        line.bar_format = "{desc}  " + (known if self.total else "{n_fmt} steps [{elapsed}]") + "{postfix}"
        line.desc, line.total, line.postfix, line.ncols = self.name, self.total, readings, _columns()
        line.n = min(self.done, self.total or math.inf)  # tqdm forgets a total that is passed
        line.last_print_t = time.time()  # without which tqdm, when closed, would think that it never drew
        line.start_t = line.last_print_t - self.seconds
        line.refresh()
        self.due = time.monotonic() + REFRESH_SECONDS

    def close(self, last_readings: str | None = None) -> None:
        """Leave the line as it then is if there are last readings, else wipe it away."""
        if self._line is not None:
            if last_readings is not None:
                self.draw(last_readings)
            self._line.leave = last_readings is not None
            self._line.close()
            self._line = None
        self.due = math.inf


def _columns() -> int | None:
    """Width of the terminal; None where it does not say, as in many a container, for which tqdm would draw nothing."""
    try:
        return max(os.get_terminal_size(sys.stderr.fileno()).columns - 1, 0) or None
    except (OSError, ValueError):
        return None
