"""What training says of itself while it runs: loss, learning rate, gradient norm, throughput."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tenfold.errors import UserError

if TYPE_CHECKING:
    from tenfold.engine.module import TenfoldModule


class Journal:
    """Collects each step's undivided loss terms and logs their means over `trainer.log_every_n_steps` steps.

    Terms stay on the device until they are logged, so that a GPU is not made to wait for every step.
    """

    def __init__(self, module: TenfoldModule) -> None:
        self.module = module
        self.latest: dict[str, float] = {}  # for the progress bar
        self.gradient_norm: Tensor | None = None
        self._first_bad: Tensor | None = None
        self._reset()

    def _reset(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._samples, self._since = 0, time.perf_counter()

    @property
    def due(self) -> bool:
        """Whether the step being computed is one after which the journal is logged."""
        return (self.module.global_step + 1) % self.module.trainer.log_every_n_steps == 0

    def record(self, means: dict[str, Tensor]) -> None:
        """Note one step's loss terms, before its optimizer step; a loss that is not finite stops a CPU run right here."""
        for name, mean in means.items():
            self._sums[name] = self._sums[name] + mean if name in self._sums else mean
            self._counts[name] = self._counts.get(name, 0) + 1
        total = torch.stack(list(means.values())).sum()
        if total.device.type == "cpu":
            if not torch.isfinite(total):
                self._stop(self.module.global_step + 1)
        else:
            self._note_bad(total)

    def _note_bad(self, total: Tensor) -> None:
        if self._first_bad is None:
            self._first_bad = torch.zeros((), dtype=torch.long, device=total.device)
        bad = ~torch.isfinite(total) & (self._first_bad == 0)
        self._first_bad = torch.where(bad, self.module.global_step + 1, self._first_bad)

    def check(self) -> None:
        """Stop if a step since the last check had a loss that was not finite (waits for the device)."""
        if self._first_bad is not None and (step := int(self._first_bad)):
            self._stop(step)

    def _stop(self, step: int) -> None:
        trainer = self.module.trainer
        batches = trainer.num_training_batches
        batch = int((step - 1) % batches) if batches != float("inf") else step - 1
        kept = getattr(trainer.checkpoint_callback, "last_model_path", "")
        raise UserError(
            f"loss: not finite at step {step} (epoch {trainer.current_epoch}, batch {batch}); expected a finite number; "
            f"try a lower optimizer.lr or trainer.gradient_clip_val=1; "
            + (f"the last good checkpoint is {kept}" if kept else "no checkpoint had been saved yet")
        )

    def step_done(self, samples: int) -> None:
        """Count a training step's samples on this device, and log when the interval is full."""
        self._samples += samples
        step = self.module.global_step
        if step % self.module.trainer.log_every_n_steps == 0:
            self._log(step)

    def _log(self, step: int) -> None:
        self.check()
        elapsed = max(time.perf_counter() - self._since, 1e-9)
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        values = torch.stack([*means.values(), torch.tensor(float(self._samples), device=self.module.device)])
        if self.module.world_size > 1:
            torch.distributed.all_reduce(values)
        *terms, samples = values.tolist()
        scalars = {f"train/{name}": term for name, term in zip(means, terms, strict=True)}
        scalars["train/loss"] = sum(terms)
        scalars["train/samples_per_second"] = samples / elapsed
        scalars |= self.module.learning_rates()
        if self.gradient_norm is not None:
            scalars["train/grad_norm"] = float(self.gradient_norm)
        self.latest = scalars
        for logger in self.module.loggers:
            logger.log_metrics(scalars, step=step)
        self._reset()
