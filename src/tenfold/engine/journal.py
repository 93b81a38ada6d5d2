"""What training says of itself while it runs: loss, learning rate, gradient norm, throughput."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tenfold.engine.runs import CHECKPOINTS
from tenfold.errors import UserError

if TYPE_CHECKING:
    from tenfold.engine.module import TenfoldModule

PATIENCE = 1000  # losses that are kept to be looked at later


class Journal:
    """Collects each step's undivided loss terms and logs their means over `trainer.log_every_n_steps` steps.

    On a GPU, and where ranks share the batch, a loss is looked at no sooner than it is logged or a checkpoint is saved,
    so that no step has to wait for it.
    """

    def __init__(self, module: TenfoldModule) -> None:
        self.module = module
        self.latest: dict[str, float] = {}  # for the progress bar
        self.gradient_norm: Tensor | None = None  # of the primary optimizer's last step that has one
        self._unseen: list[tuple[Tensor, str]] = []  # losses, and where they arose
        self._patient = module.world_size > 1 or module.device.type != "cpu"
        self._logged = 0  # the optimizer step after which the journal was last logged
        self._reset()

    def start(self) -> None:
        """Training begins, or goes on."""
        self._logged = self.module.global_step
        self._reset()

    def _reset(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._samples, self._since = 0, time.perf_counter()

    def pause(self) -> None:
        """Validation begins; its time is not training's."""
        self._paused = time.perf_counter()

    def go_on(self) -> None:
        self._since += time.perf_counter() - self._paused

    @property
    def due(self) -> bool:
        """Whether the primary optimizer's step being computed is one after which the journal is logged."""
        return self._full(self.module.global_step + 1)

    def _full(self, step: int) -> bool:
        every: int = self.module.trainer.log_every_n_steps  # type: ignore[attr-defined]
        return step // every > self._logged // every

    def record(self, means: dict[str, Tensor]) -> None:
        """Note one step's loss terms, before its optimizer step. Raises `UserError` where one is not finite."""
        for name, mean in means.items():
            self._sums[name] = self._sums[name] + mean if name in self._sums else mean
            self._counts[name] = self._counts.get(name, 0) + 1
        total: Any = sum(means.values())
        if not self._patient and math.isfinite(total):
            return
        self._unseen.append((total, self._place()))
        if not self._patient or len(self._unseen) >= PATIENCE:
            self.check()

    def _place(self) -> str:
        trainer = self.module.trainer
        batch = trainer.fit_loop.epoch_loop.batch_idx
        return f"step {self.module.global_step + 1} (epoch {trainer.current_epoch}, batch {batch})"

    def check(self) -> None:
        """Stop if a loss since the last check was not finite on any rank (waits for the device)."""
        if not self._unseen:
            return
        losses, places = zip(*self._unseen, strict=True)
        self._unseen.clear()
        bad = torch.stack(losses).isfinite().logical_not().to(torch.uint8)
        if self.module.world_size > 1:
            torch.distributed.all_reduce(bad, op=torch.distributed.ReduceOp.MAX)
        if bad.any():
            self._stop(places[int(bad.argmax())])

    def _stop(self, place: str) -> None:
        kept = Path(self.module.trainer.default_root_dir) / CHECKPOINTS / "last.ckpt"
        raise UserError(
            f"loss: not finite at {place}; expected a finite number; "
            f"try a lower optimizer.lr or trainer.gradient_clip_val=1; "
            + (f"the last good checkpoint is {kept}" if kept.is_file() else "no checkpoint had been saved yet")
        )

    def batch_done(self, samples: int) -> None:
        """Count a training batch's samples on this device, and log when the interval is full."""
        self._samples += samples
        step = self.module.global_step
        if self._full(step):
            self._logged = step
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
