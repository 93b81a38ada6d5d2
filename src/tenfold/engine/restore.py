"""A finished run brought back from its folder alone."""

from __future__ import annotations

from pathlib import Path

import torch

from tenfold.engine import runs
from tenfold.engine.checkpoint import load_checkpoint, rebuild
from tenfold.engine.module import TenfoldModule
from tenfold.errors import UserError


def restore(address: str, outputs: str, which: str) -> tuple[Path, TenfoldModule]:
    """The folder of the run that `address` names, and its module with the weights of the checkpoint `which`."""
    folder = runs.find_run(address, Path(outputs))
    return folder, rebuild(load_checkpoint(runs.checkpoint_of(folder, which)))


def device_for(accelerator: str) -> torch.device:
    """The device that `accelerator` names; `auto`: a GPU where there is one."""
    from tenfold.engine.build import require_device

    require_device({"accelerator": accelerator})
    if accelerator in ("gpu", "cuda") or (accelerator == "auto" and torch.cuda.is_available()):
        return torch.device("cuda")
    if accelerator == "mps":
        return torch.device("mps")
    if accelerator not in ("auto", "cpu"):
        raise UserError(f"accelerator: found {accelerator!r}, expected auto, cpu, gpu or mps")
    return torch.device("cpu")
