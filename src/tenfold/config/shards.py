"""What goes with `trainer.strategy=fsdp`, where every device holds a share of the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenfold.config.instantiate import targets
from tenfold.errors import UserError

#: Optimizers that treat each number of a weight by itself, so that a share of it is treated as the whole would be.
ELEMENTWISE = ("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "ASGD", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD")


def check_shards(config: Mapping[str, Any]) -> None:
    """Raises `UserError` where a run asks for shares of weights and for something that needs them whole."""
    trainer = config["trainer"]
    strategy = str(trainer.get("strategy", "auto"))
    if strategy.startswith("fsdp_"):
        raise UserError(f"trainer.strategy: found {strategy!r}, expected fsdp, which leaves the weights on the device")
    if strategy != "fsdp":
        return
    for path, node in targets(config["optimizer"], "optimizer"):
        if node["_target_"] not in {f"torch.optim.{name}" for name in ELEMENTWISE}:
            raise UserError(
                f"{path}: {node['_target_']} may need whole matrices, of which fsdp gives a device some rows; "
                f"expected one of torch.optim's {', '.join(ELEMENTWISE)}, or trainer.strategy=ddp"
            )
    refused = {"micro_batch_size": ("auto", "a number"), "batch_norm": ("exact", "whole or micro")}
    for key, (value, instead) in (refused | {"compile": (True, "false")}).items():
        if trainer.get(key) == value:
            raise UserError(f"trainer.{key}: {value} does not go with trainer.strategy: fsdp; expected {instead}")
    for path, node in targets(config.get("callbacks") or {}, "callbacks"):
        if node["_target_"] == "tenfold.callbacks.memory.MemoryReport":  # a device cannot compute alone
            raise UserError(f"{path}: does not go with trainer.strategy: fsdp; leave it out, or expected ddp")
