"""From a run's config to its DataModule, module and Trainer."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn

from tenfold.config.instantiate import instantiate, resolve, signature_of
from tenfold.config.spec import DataSpec
from tenfold.data.base import DataModule
from tenfold.engine.accumulation import Stepping
from tenfold.engine.module import TenfoldModule
from tenfold.errors import UserError, nearest

#: Keys of the `trainer` group that the engine carries out itself; Lightning's Trainer gets the others.
STEPPING_KEYS = tuple(inspect.signature(Stepping).parameters)
OWN_TRAINER_KEYS = (*STEPPING_KEYS, "compile")


def build_data(config: Mapping[str, Any]) -> DataModule:
    return instantiate(config["data"])


def build_module(config: Mapping[str, Any], spec: DataSpec) -> TenfoldModule:
    """The module of `config["model"]`, its networks built from the spec.

    Each child of the model that has a `_target_` is a network (or another part); it gets those of the spec's
    `network_arguments` that its signature names and its config does not give.
    """
    model = dict(config["model"])
    known = spec.network_arguments()
    parts = {
        name: _build_part(part, known)
        for name, part in model.items()
        if isinstance(part, Mapping) and "_target_" in part
    }
    own = {name: value for name, value in model.items() if name not in parts}
    module: TenfoldModule = instantiate(own, spec=spec, **parts)
    module.config = dict(config)
    trainer = config.get("trainer", {})
    module.stepping = Stepping(**{key: trainer[key] for key in STEPPING_KEYS if key in trainer})
    return module


def build_whole(config: Mapping[str, Any], data: DataModule) -> TenfoldModule:
    """The module, with the other runs that it needs beside it, and with what it takes from the training data."""
    from tenfold.engine.companions import join

    module = build_module(config, data.spec)
    join(module)
    module.prepare(data)
    return module


def _build_part(part: Mapping[str, Any], known: Mapping[str, Any]) -> nn.Module:
    accepted = signature_of(part["_target_"])
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())
    names = {"num_classes"} if anything else set(accepted)  # torchvision's models hand num_classes on as a keyword
    return instantiate(part, **{name: value for name, value in known.items() if name in names and name not in part})


def build_trainer(config: Mapping[str, Any], folder: Path) -> L.Trainer:
    """Lightning's Trainer, with the callbacks and loggers of the config (dicts of `_target_`s; null leaves one out)."""
    arguments = {key: value for key, value in config["trainer"].items() if key not in OWN_TRAINER_KEYS}
    require_device(arguments)
    arguments["strategy"] = _strategy(config)
    every, epochs = arguments.get("check_val_every_n_epoch"), arguments.get("max_epochs")
    if every and epochs and 0 < epochs < every:  # a run cut short is still validated, at its end
        arguments["check_val_every_n_epoch"] = epochs
    metrics = resolve(config["model"]["_target_"]).metrics
    # A recipe may have set a value of a callback that the person has since left out: then there is nothing to build.
    chosen = [c for c in (config.get("callbacks") or {}).values() if c and "_target_" in c]
    callbacks = [instantiate(monitored(callback, metrics)) for callback in chosen]
    # Without a bar of the config's, Lightning would draw its own.
    arguments.setdefault("enable_progress_bar", any(isinstance(callback, ProgressBar) for callback in callbacks))
    loggers = [instantiate(logger) for logger in (config.get("logger") or {}).values() if logger]
    try:
        return L.Trainer(**arguments, callbacks=callbacks, logger=loggers or False, default_root_dir=folder)
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise UserError(f"trainer: {error}") from error


def monitored(callback: Mapping[str, Any], metrics: Mapping[str, str]) -> dict[str, Any]:
    """The callback's config with its `monitor` (where null, the module's first metric) and whether more is better."""
    if "monitor" not in callback:
        return dict(callback)
    monitor = callback["monitor"] or f"val/{next(iter(metrics))}"
    return dict(callback) | {"monitor": monitor, "mode": metrics[monitor.removeprefix("val/")]}


def _strategy(config: Mapping[str, Any]) -> str | Strategy:
    """FSDP is the engine's own; DDP must look for unused parameters when parts take turns (a GAN's generator and its
    discriminator)."""
    trainer = config["trainer"]
    strategy = trainer.get("strategy", "auto")
    if strategy == "fsdp":
        from tenfold.engine.sharding import Sharded

        return Sharded()
    alone = trainer.get("devices", 1) == trainer.get("num_nodes", 1) == 1
    becomes_ddp = strategy == "ddp" or (strategy == "auto" and not alone)
    takes_turns = len(resolve(config["model"]["_target_"]).optimized) > 1
    return "ddp_find_unused_parameters_true" if becomes_ddp and takes_turns else strategy


def require_device(trainer: Mapping[str, Any]) -> None:
    accelerator = str(trainer.get("accelerator", "auto"))
    names = ["auto", "gpu", *AcceleratorRegistry.available_accelerators()]
    if accelerator not in names:
        hint = nearest(accelerator, names)
        raise UserError(f"trainer.accelerator: found {accelerator!r}, expected one of {', '.join(names)}{hint}")
    if accelerator in ("gpu", "cuda") and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise UserError(
            f"trainer.accelerator: {accelerator} was asked for, but this machine shows no GPU; expected cpu or auto"
        )
    devices = trainer.get("devices", 1)
    if accelerator in ("gpu", "cuda") and isinstance(devices, int) and devices > torch.cuda.device_count():
        raise UserError(f"trainer.devices: {devices} GPUs were asked for, this machine has {torch.cuda.device_count()}")
