"""One run from its config: fit, measure the chosen checkpoint, record."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import WeightAveraging

from tenfold.callbacks.interrupt import Interrupted
from tenfold.config.check import check_batch
from tenfold.data.base import DataModule
from tenfold.engine import cpu, runs
from tenfold.engine.build import build_data, build_trainer, build_whole
from tenfold.engine.checkpoint import load_checkpoint, load_weights
from tenfold.engine.log import logged_to
from tenfold.engine.module import TenfoldModule
from tenfold.engine.ranks import own_group
from tenfold.engine.record import record, summary
from tenfold.errors import INTERRUPTED


def fit(config: dict[str, Any], folder: Path, resume: bool = False) -> int:
    """Train, choose by validation, measure on the test split once, and write `metrics.json`; the exit code."""
    with logged_to(folder / runs.LOG), own_group():
        return _fit(config, folder, resume)


def _fit(config: dict[str, Any], folder: Path, resume: bool) -> int:
    cpu.set_up(config["threads"])
    L.seed_everything(config["seed"], verbose=False)
    data = build_data(config)
    data.prepare_data()
    data.setup()
    L.seed_everything(config["seed"], verbose=False)  # the same weights whatever reading the data has drawn
    module = build_whole(config, data)
    check_batch(module, data)
    trainer = build_trainer(config, folder)
    resumed = _resume_from(folder, module) if resume else None
    if config["trainer"].get("compile"):
        for name in module.parts():
            getattr(module, name).compile()  # in place: the checkpoint's names stay as they are
    started = time.perf_counter()
    try:
        trainer.fit(module, datamodule=data, ckpt_path=resumed, weights_only=True)
    except Interrupted as stop:
        if trainer.is_global_zero:
            print(f"\nstopped at step {stop.step}; saved {stop.path}\nresume: tenfold train run={folder}")
        return INTERRUPTED
    seconds = time.perf_counter() - started
    results = _measure(trainer, module, data, config)
    if trainer.is_global_zero:
        record(folder, trainer, module, data, results, seconds)
        print(summary(folder))
    return 0


def _resume_from(folder: Path, module: TenfoldModule) -> str:
    path = runs.checkpoint_of(folder, "last")
    load_weights(module, load_checkpoint(path))  # a damaged or foreign file is told as such before all else
    return str(path)


def _measure(trainer: L.Trainer, module: TenfoldModule, data: DataModule, config: dict[str, Any]) -> dict[str, float]:
    """Metrics of the best checkpoint on validation and, once, on test data."""
    # The checkpoint holds the average already; the callback would put the last one in its place.
    trainer.callbacks = [c for c in trainer.callbacks if not isinstance(c, WeightAveraging)]  # type: ignore[attr-defined]
    if config["trainer"].get("fast_dev_run"):
        if config["test"] and "test" in data.splits:
            trainer.test(module, datamodule=data, verbose=False)
        return _floats(trainer)
    best = getattr(trainer.checkpoint_callback, "best_model_path", "")
    if best:
        load_weights(module, load_checkpoint(Path(best)))
    results: dict[str, float] = {}
    if "val" in data.splits:
        trainer.validate(module, datamodule=data, verbose=False)
        results |= _floats(trainer)
    if config["test"] and "test" in data.splits:
        trainer.test(module, datamodule=data, verbose=False)
        results |= _floats(trainer)
    return results


def _floats(trainer: L.Trainer) -> dict[str, float]:
    return {name: float(value) for name, value in trainer.callback_metrics.items()}
