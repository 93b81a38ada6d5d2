"""How much memory a step takes at each size of the micro-batch, told before training begins."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger

from tenfold.engine import memory, runs
from tenfold.engine.accumulation import Accumulation
from tenfold.engine.batch import num_samples, refusing_one_for_batch_norm
from tenfold.engine.parts import training_only
from tenfold.engine.ranks import largest
from tenfold.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """What the gradient of one optimized part takes in micro-batches of one size, on this device.

    activations_mib: the most that autograd kept for the backward pass; None where the micro-batch did not fit.
    cuda_mib: the most that was allocated on the GPU above what was before, gradients included; None on other devices.
    """

    part: str
    micro_batch_size: int
    micro_batches: int
    activations_mib: float | None
    cuda_mib: float | None = None


class MemoryReport(L.Callback):
    """Computes the gradient of the first batch in micro-batches of the whole batch, half of it, a quarter, ... one
    sample, or as few as the network takes (BatchNorm over single pixels: two), and reports the peak of each: a table in
    the run's log and in TensorBoard, `memory.json` in the run folder.

    Every part that the module optimizes is measured at its own first update. Nothing of it stays: gradients, buffers
    and the random state are put back, and no optimizer steps, so training goes on as without the report.
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._missing: set[str] = set()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        module: Any = pl_module
        self.rows, self._missing = [], set(module.optimized)
        update = module.update

        def measured(name: str, batch: Any, *more: Any, **named: Any) -> Any:
            if name in self._missing:
                self._missing.remove(name)
                self.rows += _measure(module, name, module.drawn(batch, 0), *module.objective(name))
            return update(name, batch, *more, **named)

        module.update = measured

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        if not self._missing:
            self._finish(trainer, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._finish(trainer, pl_module)

    def _finish(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Write the report, once, and leave the module as it was."""
        if vars(module).pop("update", None) is None or not trainer.is_global_zero:
            return
        text = table(self.rows)
        log.info("memory by micro-batch size\n%s", text)
        runs.write_json(Path(trainer.default_root_dir) / "memory.json", {"rows": [asdict(row) for row in self.rows]})
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_text("memory/report", text, trainer.global_step)


def _measure(module: Any, name: str, batch: Any, losses: Callable, weights: Callable) -> list[Row]:
    sizes = [largest(num_samples(batch), module.device)]
    while sizes[-1] > 1:
        sizes.append((sizes[-1] + 1) // 2)
    gradients = [parameter.grad for parameter in module.parameters()]
    before = memory.Snapshot(module)
    rows = []
    try:
        for size in sizes:
            module.zero_grad()
            with training_only(module, name), _alone(module):
                row = _row(module, name, batch, size, losses, weights)
            before.restore(module)
            too_small = largest(int(row is None), module.device)
            if row is None or too_small:
                break
            rows.append(row)
    finally:
        for parameter, gradient in zip(module.parameters(), gradients, strict=True):
            parameter.grad = gradient
    memory.release()
    return rows


def _row(module: Any, name: str, batch: Any, size: int, losses: Callable, weights: Callable) -> Row | None:
    """None where the micro-batches are too small for the network's BatchNorm."""
    stepping = replace(module.stepping, micro_batch_size=size, accumulate_grad_batches=None, memory_budget=None)
    accumulation = Accumulation(module, stepping)
    on_gpu = module.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(module.device)
    allocated = torch.cuda.memory_allocated(module.device) if on_gpu else 0
    peak: int | None = None
    try:
        with memory.measured() as activations, refusing_one_for_batch_norm():
            accumulation.backward(batch, losses, weights, module.zero_grad)
        peak = activations.peak
    except UserError:
        return None
    except (RuntimeError, MemoryError) as error:
        if not memory.is_out_of_memory(error):
            raise
    in_cuda = torch.cuda.max_memory_allocated(module.device) - allocated if on_gpu and peak is not None else None
    return Row(name, size, -(-num_samples(batch) // size), _mebibytes(peak), _mebibytes(in_cuda))


def _mebibytes(size: int | None) -> float | None:
    return None if size is None else size / memory.MEBIBYTE


@contextlib.contextmanager
def _alone(module: Any) -> Iterator[None]:
    """No reduction over ranks, whose gradients are not kept, and no notice of BatchNorm, whose steps are not taken."""
    strategy = module.trainer.strategy
    local = strategy.block_backward_sync() if hasattr(strategy, "block_backward_sync") else contextlib.nullcontext()
    with local, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def table(rows: list[Row]) -> str:
    """The report in markdown."""
    on_gpu = any(row.cuda_mib is not None for row in rows)
    head = ["part", "micro-batch size", "micro-batches", "activations, MiB"] + ["GPU memory, MiB"] * on_gpu
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for row in rows:
        sizes = [row.activations_mib] + [row.cuda_mib] * on_gpu
        cells = ["does not fit" if size is None else f"{size:.2f}" for size in sizes]
        lines.append([row.part, str(row.micro_batch_size), str(row.micro_batches), *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
