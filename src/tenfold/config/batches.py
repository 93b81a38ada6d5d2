"""The arithmetic of batches, micro-batches and devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenfold.errors import UserError


def check_batches(config: Mapping[str, Any]) -> None:
    """batch_size = devices x micro-batches x micro_batch_size must be possible."""
    trainer, batch = config["trainer"], config["data"].get("batch_size")
    devices = _world_size(trainer)
    micro, cuts = trainer.get("micro_batch_size"), trainer.get("accumulate_grad_batches")
    for key, value in (("micro_batch_size", micro), ("accumulate_grad_batches", cuts)):
        if isinstance(value, int) and value < 1:
            raise UserError(f"trainer.{key}: found {value}, expected at least 1")
    if micro == "auto" and (devices or 1) > 1 and trainer.get("batch_norm", "micro") != "micro":
        raise UserError(
            "trainer.micro_batch_size: auto on several devices does not go with "
            f"trainer.batch_norm: {trainer['batch_norm']}; expected a number"
        )
    if not isinstance(batch, int):
        return
    if batch < 1:
        raise UserError(f"data.batch_size: found {batch}, expected at least 1")
    if devices is not None and batch % devices:
        raise UserError(
            f"data.batch_size: {batch} cannot be shared equally by {devices} devices; expected a multiple of {devices}"
        )
    share = batch // (devices or 1)
    if isinstance(micro, int) and micro > share:
        raise UserError(
            f"trainer.micro_batch_size: {micro} is larger than the {share} samples of a batch on each device"
        )
    if cuts is not None and cuts > share:
        raise UserError(
            f"trainer.accumulate_grad_batches: {cuts} micro-batches cannot be cut from {share} samples a device"
        )
    if isinstance(micro, int) and cuts is not None and -(-share // micro) != cuts:
        raise UserError(
            f"trainer.accumulate_grad_batches: {cuts} disagrees with trainer.micro_batch_size: {micro}, which cuts "
            f"the {share} samples of a device into {-(-share // micro)}; give one of the two"
        )
    if micro == "auto" and cuts is not None:
        raise UserError(
            f"trainer.accumulate_grad_batches: {cuts} disagrees with trainer.micro_batch_size: auto; "
            "give one of the two"
        )


def _world_size(trainer: Mapping[str, Any]) -> int | None:
    devices = trainer.get("devices", 1)
    if isinstance(devices, (list, tuple)):
        devices = len(devices)
    return devices * int(trainer.get("num_nodes", 1)) if isinstance(devices, int) and devices > 0 else None
