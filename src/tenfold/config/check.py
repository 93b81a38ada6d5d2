"""Finding a config's mistakes before any data is read, and a model's before any step is taken."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Collection, Iterator, Mapping
from importlib.metadata import metadata
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from tenfold.config.batches import check_batches
from tenfold.config.compose import scheduler_chosen, to_plain
from tenfold.config.fits import expected, fits, hints_of
from tenfold.config.instantiate import parameters_of, resolve, targets
from tenfold.config.shards import check_shards
from tenfold.errors import UserError, nearest

if TYPE_CHECKING:
    from tenfold.data.base import DataModule
    from tenfold.engine.module import TenfoldModule

#: What is no argument of a `_target_` but of Hydra's instantiation.
_GRAMMAR = frozenset({"_target_", "_partial_", "_convert_", "_recursive_", "_args_"})


def check_config(config: DictConfig) -> None:
    """Everything that can be known without data. Raises `UserError` naming the key, what was found and expected.

    Every `_target_` exists; every argument fits its signature in name and type and none is missing; the monitored
    metric is one that the module declares; the runs that it needs beside it are there, or recipes; batches can be
    shared out and cut as is asked for; the devices are there.
    """
    from tenfold.engine.companions import check_companions

    plain = to_plain(config, folder=config.get("folder") or "run")
    if scheduler_chosen():  # else what is left of it counts as none
        _require_target("scheduler", config.get("scheduler"))
    _check_groups(plain)
    supplied = _supplied(plain)
    for path, node in targets(plain):
        _check_call(path, node, supplied.get(path, frozenset()))
    _check_run(plain)
    _check_trainer(plain["trainer"])
    _check_monitors(plain)
    check_companions(plain)
    _check_loggers(plain.get("logger") or {})
    check_batches(plain)
    check_shards(plain)
    resolve(plain["model"]["_target_"]).check(plain)


def _require_target(group: str, part: Mapping[str, Any] | None) -> None:
    if part and not any(targets(part)):
        raise UserError(f"{group}: found {', '.join(part)}, expected a _target_ too, as in the configs of conf/{group}")


def _check_groups(config: Mapping[str, Any]) -> None:
    """Each part is there, and the data and the model are of the kinds that the engine knows."""
    from tenfold.data.base import DataModule
    from tenfold.engine.module import TenfoldModule

    for group in ("data", "model", "optimizer", "trainer"):
        if not isinstance(config.get(group), Mapping):
            raise UserError(f"{group}: found {config.get(group)!r}, expected one of the configs in conf/{group}")
    _require_target("optimizer", config["optimizer"])
    for group, kind in (("data", DataModule), ("model", TenfoldModule)):
        target = config[group].get("_target_")
        if target is None:
            raise UserError(f"{group}._target_: missing, expected the name of a {kind.__name__}")
        found = resolve(target, f"{group}._target_")
        if not (inspect.isclass(found) and issubclass(found, kind)):
            raise UserError(f"{group}._target_: found {target}, expected a {kind.__name__}")


def _supplied(config: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """The arguments that the engine adds to a config's own, by the path of the node."""
    spec_names = resolve(config["data"]["_target_"]).spec_class.provides
    model = config["model"]
    parts = {name for name, part in model.items() if isinstance(part, Mapping) and "_target_" in part}
    supplied = {f"model.{name}": spec_names for name in parts}
    supplied |= {"model": frozenset({"spec"})}
    for group, names in (("optimizer", {"params"}), ("scheduler", {"optimizer", "total_steps", "interval", "mode"})):
        for path, _ in targets(config.get(group) or {}, group):
            supplied[path] = frozenset(names)
    for path, _ in targets(config.get("callbacks") or {}, "callbacks"):
        supplied[path] = frozenset({"monitor", "mode"})
    return supplied


def _check_call(path: str, node: Mapping[str, Any], supplied: Collection[str]) -> None:
    """That the node's target can be called with the node's arguments and those that the engine supplies."""
    target = str(node["_target_"])
    function = resolve(target, f"{path}._target_")
    if not callable(function):
        raise UserError(f"{path}._target_: {target} is a {type(function).__name__}, expected a class or function")
    parameters, hints = parameters_of(function), hints_of(function)
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    given = {key: value for key, value in node.items() if key not in _GRAMMAR}
    unknown = [key for key in given if key not in parameters and key not in supplied]
    if unknown and not open_ended:
        left_out = " ".join(f"~{path}.{key}" for key in unknown)  # a recipe's values, for another choice of this group
        offered = f"; expected one of {', '.join(parameters)} (a recipe's own values are left out by {left_out})"
        hint = nearest(unknown[0], parameters) or offered
        raise UserError(f"{path}.{unknown[0]}: {target} has no such argument{hint}")
    for key, value in given.items():
        if key not in parameters:
            continue
        implied = value is None and (key in supplied or parameters[key].default is None)
        if key in hints and not implied and not fits(value, hints[key]):
            raise UserError(f"{path}.{key}: {expected(value, hints[key])}")
    if node.get("_partial_") or "_args_" in node:
        return
    for key, parameter in parameters.items():
        required = parameter.default is parameter.empty and parameter.kind not in (2, 4)  # *args, **kwargs
        if required and key not in given and key not in supplied:
            raise UserError(f"{path}.{key}: missing; {target} needs it")


def _check_run(config: Mapping[str, Any]) -> None:
    for key, hint, least in (("seed", int, 0), ("threads", int | None, 1), ("test", bool, None)):
        value = config.get(key)
        if not fits(value, hint):
            raise UserError(f"{key}: {expected(value, hint)}")
        if least is not None and value is not None and value < least:
            raise UserError(f"{key}: found {value}, expected at least {least}")


def _check_trainer(trainer: Mapping[str, Any]) -> None:
    import lightning as L

    from tenfold.engine.accumulation import Stepping
    from tenfold.engine.build import OWN_TRAINER_KEYS, require_device

    known = [*parameters_of(L.Trainer), *OWN_TRAINER_KEYS]
    hints = hints_of(L.Trainer) | hints_of(Stepping) | {"compile": bool}
    for key, value in trainer.items():
        if key not in known:
            raise UserError(f"trainer.{key}: there is no such key{nearest(key, known)}")
        if not fits(value, hints.get(key, Any)):
            raise UserError(f"trainer.{key}: {expected(value, hints[key])}")
    _check_trainer_values(trainer)
    require_device(trainer)


def _check_trainer_values(trainer: Mapping[str, Any]) -> None:
    """What the types leave open."""
    from lightning.pytorch.strategies import StrategyRegistry

    strategies = ["auto", *StrategyRegistry.available_strategies()]
    if (strategy := trainer.get("strategy", "auto")) not in strategies:
        hint = nearest(strategy, strategies)
        raise UserError(f"trainer.strategy: found {strategy!r}, expected auto, ddp, fsdp, ...{hint}")
    devices = trainer.get("devices", 1)
    whole = isinstance(devices, int) and (devices >= 1 or devices == -1)
    if not (whole or devices == "auto" or (isinstance(devices, list) and devices)):
        raise UserError(f"trainer.devices: found {devices!r}, expected auto, a number of devices, or a list of them")
    for key, value in trainer.items():
        fraction = isinstance(value, float) and 0 <= value <= 1
        if (
            key.startswith("limit_")
            and value is not None
            and not fraction
            and not (isinstance(value, int) and value >= 0)
        ):
            raise UserError(
                f"trainer.{key}: found {value}, expected a number of batches, or a fraction from 0.0 to 1.0"
            )
    for key in ("log_every_n_steps", "check_val_every_n_epoch", "num_nodes"):
        value = trainer.get(key)
        if value is not None and value < 1:
            raise UserError(f"trainer.{key}: found {value}, expected at least 1")


def _check_monitors(config: Mapping[str, Any]) -> None:
    """The metrics that callbacks watch must be among those that the module declares for validation."""
    metrics = [f"val/{name}" for name in resolve(config["model"]["_target_"]).metrics]
    for path, node in targets(config.get("callbacks") or {}, "callbacks"):
        monitor = node.get("monitor")
        if monitor is not None and monitor not in metrics:
            hint = nearest(monitor, metrics)
            raise UserError(f"{path}.monitor: found {monitor!r}, expected one of {', '.join(metrics)}{hint}")


def _check_loggers(loggers: Mapping[str, Any]) -> None:
    """A logger that is called as one of Tenfold's extras needs the package of that name."""
    extras = metadata("tenfold").get_all("Provides-Extra") or []
    for name, logger in loggers.items():
        if logger and name in extras and importlib.util.find_spec(name) is None:
            raise UserError(
                f"logger: {name} needs the package {name!r}, which is not installed; pip install 'tenfold[{name}]'"
            )


def check_batch(module: TenfoldModule, data: DataModule) -> None:
    """Let model and data meet on two samples: the network takes their shape, the loss their labels."""
    import torch

    from tenfold.engine.batch import num_samples

    was_training = {name: getattr(module, name).training for name in module.parts()}
    batch = module.drawn(data.sample("train", 2), 0)
    module.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            found = {part: [call(batch) for call in module.objective(part)] for part in module.optimized}
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        first = str(error).strip().splitlines()[0]
        shapes = ", ".join(_shapes(batch))
        raise UserError(f"model: does not take a batch of this data ({shapes}): {first}") from error
    finally:
        module.train()
        for name, training in was_training.items():
            getattr(module, name).train(training)
    for sums, weights in found.values():
        if set(sums) != set(weights):
            raise UserError(
                f"model: losses gives {sorted(sums)} and weights {sorted(weights)}, expected the same names"
            )
    assert num_samples(batch) > 0


def _shapes(batch: Any) -> Iterator[str]:
    import torch

    items = batch._asdict().items() if hasattr(batch, "_asdict") else enumerate([batch])
    for name, value in items:
        if isinstance(value, torch.Tensor):
            yield f"{name} {list(value.shape)}"
