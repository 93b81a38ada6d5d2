"""Where training stands, so that a resumed run draws on as if it had never stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from tenfold.engine.module import TenfoldModule


def position_of(module: TenfoldModule) -> dict[str, Any]:
    """The states of the random number generators and of the loader."""
    loader: Any = module.trainer.train_dataloader
    return {
        "random": torch.get_rng_state(),
        "device_random": torch.cuda.get_rng_state(module.device) if module.device.type == "cuda" else None,
        "loader": loader.state_dict() if hasattr(loader, "state_dict") else None,
    }


def go_on(module: TenfoldModule, position: Mapping[str, Any]) -> None:
    """Put back what `position_of` gave; what is not there stays as it is."""
    if position.get("random") is not None:
        torch.set_rng_state(position["random"])
    if position.get("device_random") is not None and module.device.type == "cuda":
        torch.cuda.set_rng_state(position["device_random"], module.device)
    # Lightning restores a loader only where it was not asked for the number of steps before, as schedules do.
    if position.get("loader") is not None:
        loader: Any = module.trainer.train_dataloader
        loader.load_state_dict(position["loader"])
