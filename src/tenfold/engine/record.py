"""What a finished run leaves behind: metrics.json, HParams in TensorBoard, and the table on the screen."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.loggers import TensorBoardLogger

from tenfold.data.base import DataModule
from tenfold.engine import runs
from tenfold.engine.module import Stage, TenfoldModule

STAGES: tuple[Stage, ...] = ("val", "test")


def record(
    folder: Path,
    trainer: L.Trainer,
    module: TenfoldModule,
    data: DataModule,
    results: Mapping[str, float],
    seconds: float,
) -> None:
    """Write metrics.json, and the final metrics beside the hyperparameters for TensorBoard's HParams page."""
    record = record_of(module, data, results) | {
        "seconds": seconds,
        "steps": trainer.global_step,
        "epochs": trainer.current_epoch,
        "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    runs.write_json(folder / runs.METRICS, record)
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(_hyperparameters(module.config), dict(results))
        else:
            logger.log_hyperparams(_hyperparameters(module.config))
        logger.finalize("success")


def record_of(module: TenfoldModule, data: DataModule, results: Mapping[str, float]) -> dict[str, Any]:
    """What was measured, with the trivial baselines, intervals and directions that give the figures their meaning."""
    splits = [split for split in STAGES if any(name.startswith(f"{split}/") for name in results)]
    intervals = {f"{split}/{name}": value for split in splits for name, value in module.intervals(split).items()}
    return {
        "recipe": module.config["recipe"],
        "metrics": dict(results),
        "baselines": {f"{split}/{name}": value for split in splits for name, value in data.baseline(split).items()},
        "intervals": intervals,
        "directions": {f"{split}/{name}": way for split in STAGES for name, way in module.metrics.items()},
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
    }


def summary(folder: Path) -> str:
    """The closing lines of a run: its table, what it took, where it is, and how to look at it."""
    record = runs.read_metrics(folder)
    closing = (
        f"{record['recipe']}: {record['epochs']} epochs, {record['steps']} steps in {record['seconds']:.1f} s, "
        f"{record['parameters']:,} parameters"
    )
    dashboard = f"\ndashboard   {_tensorboard()} --logdir {folder}" if any(folder.glob("events.out.*")) else ""
    return f"\n{table_of(record)}\n\n{closing}\nrun folder  {folder}{dashboard}"


def _tensorboard() -> str:
    """The program as this person can type it: by name where it is on the PATH, else beside this Python."""
    beside = Path(sys.executable).with_name("tensorboard")
    return "tensorboard" if shutil.which("tensorboard") or not beside.is_file() else os.path.relpath(beside)


def table_of(record: Mapping[str, Any]) -> str:
    """Each metric on each split, beside its trivial baseline."""
    metrics, baselines, intervals = record["metrics"], record["baselines"], record["intervals"]
    splits = [split for split in STAGES if any(name.startswith(f"{split}/") for name in metrics)]
    rows = [["", *(text for split in splits for text in (split, "baseline"))]]
    for name in dict.fromkeys(name.split("/", 1)[1] for name in metrics):
        row = [name]
        for split in splits:
            key = f"{split}/{name}"
            row += [_number(metrics.get(key), intervals.get(key)), _number(baselines.get(key))]
        rows.append(row)
    return _table(rows)


def _number(value: float | None, interval: tuple[float, float] | None = None) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" + (f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else "")


def _table(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * (sum(widths) + 2 * (len(widths) - 1)), *lines[1:]])


def _hyperparameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves of the parts that a sweep varies, by dotted name."""
    flat: dict[str, Any] = {"seed": config["seed"]}
    for part in ("data", "model", "optimizer", "scheduler", "trainer"):
        _flatten(config.get(part), part, flat)
    return flat


def _flatten(value: Any, name: str, into: dict[str, Any]) -> None:
    if isinstance(value, Mapping):
        for key, child in value.items():
            _flatten(child, f"{name}.{key}", into)
    elif value is not None:
        into[name] = value if isinstance(value, (int, float, bool, str)) else str(value)
