"""Measuring a rebuilt module on a split of its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L

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
