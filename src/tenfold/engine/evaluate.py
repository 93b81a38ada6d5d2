"""Measuring a rebuilt module on a split of its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L

from tenfold.config.spec import DataSpec
from tenfold.engine import cpu, runs
from tenfold.engine.build import build_data, require_device
from tenfold.engine.companions import join
from tenfold.engine.module import Stage, TenfoldModule
from tenfold.engine.record import record_of
from tenfold.errors import UserError


def evaluate(module: TenfoldModule, folder: Path, split: Stage, accelerator: str = "auto") -> dict[str, Any]:
    """Metrics, baselines and intervals of `module` on `split`; written to `evaluate-<split>.json` in `folder` too."""
    require_device({"accelerator": accelerator})
    cpu.set_up(module.config["threads"])
    join(module)
    data = build_data(module.config)
    data.prepare_data()
    data.setup()
    require_same(data.spec, module.spec)
    if split not in data.splits:
        raise UserError(f"split: the data has no {split} split, expected one of {', '.join(data.splits)}")
    trainer = L.Trainer(
        accelerator=accelerator,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        precision=module.config["trainer"].get("precision", "32-true"),
    )
    run = trainer.test if split == "test" else trainer.validate
    run(module, datamodule=data, verbose=False)
    results = {name: float(value) for name, value in trainer.callback_metrics.items()}
    record = record_of(module, data, results)
    runs.write_json(folder / f"evaluate-{split}.json", record)
    return record


def require_same(found: DataSpec, expected: DataSpec) -> None:
    """Raises `UserError` where data have other classes, tokens, columns or shapes than those that a run learned from.

    Numbers with a fraction (means, deviations) are not compared: another machine's may differ in the last digit.
    """
    if type(found) is not type(expected):
        raise UserError(f"data: found {type(found).__name__}, expected {type(expected).__name__}, as in training")
    ours, theirs = (
        {name: value for name, value in spec.to_dict().items() if not _fractional(value)} for spec in (found, expected)
    )
    if different := [name for name in theirs if ours.get(name) != theirs[name]]:
        raise UserError(
            f"data: {', '.join(different)} differ from those of the run; expected the data that it learned from"
        )


def _fractional(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_fractional, value.values()))
    return any(map(_fractional, value)) if isinstance(value, (tuple, list)) else isinstance(value, float)
