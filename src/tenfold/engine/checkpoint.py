"""Reading checkpoints: plain types only, and rebuilding what they describe."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from tenfold.config.instantiate import require_allowed
from tenfold.config.spec import DataSpec, spec_from_dict
from tenfold.engine.build import build_module
from tenfold.engine.module import TenfoldModule
from tenfold.errors import UserError


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The contents of a Tenfold checkpoint, on the CPU.

    Raises `UserError` on a missing or truncated file, on one that holds pickled code, and on one that is not ours.
    Nothing in the file is ever executed (`weights_only=True`).
    """
    if not path.is_file():
        raise UserError(f"checkpoint {path}: there is no such file")
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"checkpoint {path}: holds pickled code or is no checkpoint, expected plain types only"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise UserError(f"checkpoint {path}: truncated or damaged, expected a whole checkpoint file") from error
    ours = contents.get("tenfold") if isinstance(contents, dict) else None
    if not isinstance(ours, dict) or not all(isinstance(ours.get(name), dict) for name in ("config", "spec")):
        raise UserError(f"checkpoint {path}: not a Tenfold checkpoint (no 'tenfold' entry with a config and a spec)")
    return contents


def rebuild(checkpoint: dict[str, Any]) -> TenfoldModule:
    """The module that a checkpoint holds, with its weights, in evaluation mode. Needs no training data."""
    ours = checkpoint["tenfold"]
    require_allowed(ours["config"].get("model"))
    try:
        spec: DataSpec = spec_from_dict(ours["spec"])
    except TypeError as error:
        raise UserError(f"checkpoint: its spec is of another version of Tenfold: {error}") from error
    module = build_module(ours["config"], spec)
    load_weights(module, checkpoint)
    return module.eval()


def load_weights(module: TenfoldModule, checkpoint: dict[str, Any]) -> None:
    """Give the module a checkpoint's weights. Raises `UserError` where they are of another network."""
    try:
        module.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        reasons = str(error).splitlines()
        recipe = checkpoint["tenfold"]["config"].get("recipe")
        raise UserError(f"checkpoint of {recipe}: its weights are of another network: {reasons[-1].strip()}") from error
