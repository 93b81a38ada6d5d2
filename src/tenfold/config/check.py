"""Finding a config's mistakes before any data is read, and a model's before any step is taken."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from tenfold.config.compose import to_plain
from tenfold.config.instantiate import parameters_of, resolve, targets
from tenfold.errors import UserError, nearest

if TYPE_CHECKING:
    from tenfold.data.base import DataModule
    from tenfold.engine.module import TenfoldModule


def check_config(config: DictConfig | Mapping[str, Any]) -> None:
    """Everything that can be known without data. Raises `UserError` naming the key, what was found and what was expected.

    Every `_target_` exists; every argument fits its signature in name and type and none is missing; the monitored metric is
    one that the module declares; the arithmetic of batches, micro-batches and devices is possible; the devices are there.
    """
    plain = to_plain(config) if isinstance(config, DictConfig) else dict(config)
    plain = plain | {"folder": plain.get("folder") or "run"}
    supplied = _supplied(plain)
    for path, node in targets(plain):
        _check_call(path, node, supplied.get(path, frozenset()))
    _check_trainer(plain["trainer"])
    _check_monitors(plain)
    check_batches(plain)


def _supplied(config: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """The arguments that the engine adds to a config's own, by the path of the node."""
    spec_names = resolve(config["data"]["_target_"]).spec_class.provides
    model = config["model"]
    parts = {name for name, part in model.items() if isinstance(part, Mapping) and "_target_" in part}
    supplied = {f"model.{name}": spec_names for name in parts}
    supplied |= {"model": frozenset({"spec"})}
    for group, names in (("optimizer", {"params"}), ("scheduler", {"optimizer", "total_steps", "interval"})):
        for path, _ in targets(config.get(group) or {}, group):
            supplied[path] = frozenset(names)
    for path, _ in targets(config.get("callbacks") or {}, "callbacks"):
        supplied[path] = frozenset({"monitor", "mode"})
    return supplied


def _check_call(path: str, node: Mapping[str, Any], supplied: frozenset[str]) -> None:
    """That the node's target can be called with the node's arguments and those that the engine supplies."""
    target = str(node["_target_"])
    function = resolve(target)
    if not callable(function):
        raise UserError(f"{path}._target_: {target} is a {type(function).__name__}, expected a class or function")
    parameters = parameters_of(function)
    hints = _hints(function)
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    given = {key: value for key, value in node.items() if key not in ("_target_", "_partial_", "_convert_", "_args_")}
    for key, value in given.items():
        if key in supplied and key not in parameters:
            continue
        if key not in parameters:
            if open_ended:
                continue
            raise UserError(f"{path}.{key}: {target} has no such argument{nearest(key, parameters) or _expected(parameters)}")
        if key in hints and not fits(value, hints[key]):
            raise UserError(f"{path}.{key}: found {value!r}, expected {_name(hints[key])}")
    if node.get("_partial_"):
        return
    for key, parameter in parameters.items():
        required = parameter.default is parameter.empty and parameter.kind in (0, 1, 3)
        if required and key not in given and key not in supplied and "_args_" not in node:
            raise UserError(f"{path}.{key}: missing; {target} needs it")


def _expected(parameters: Mapping[str, Any]) -> str:
    return f"; expected one of {', '.join(parameters)}"


def _hints(function: Any) -> dict[str, Any]:
    functions = [function] if not inspect.isclass(function) else [vars(cls)["__init__"] for cls in reversed(function.__mro__) if "__init__" in vars(cls)]
    hints: dict[str, Any] = {}
    for each in functions:
        try:
            hints |= typing.get_type_hints(each)
        except (NameError, TypeError):  # annotations that are imported for type checkers only: nothing to check against
            continue
    return hints


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain config value can be what the annotation says; True where that cannot be told."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(value, Mapping) and "_target_" in value:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, argument) for argument in arguments)
    if origin is typing.Literal:
        return value in arguments
    if hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (str, bool):
        return isinstance(value, hint)
    if origin is not None and inspect.isclass(origin) and not isinstance(value, (int, float, bool, str, type(None))):
        return _fits_collection(value, origin, arguments)
    if origin in (list, tuple, dict) or (inspect.isclass(origin) and issubclass(origin, (typing.Sized, typing.Iterable))):
        return isinstance(value, str) and str in arguments  # a sequence wanted, one value found
    return True


def _fits_collection(value: Any, origin: type, arguments: tuple[Any, ...]) -> bool:
    if isinstance(value, (list, tuple)) and issubclass(origin, typing.Iterable) and not issubclass(origin, Mapping):
        elements = [argument for argument in arguments if argument is not Ellipsis]
        if origin is tuple and Ellipsis not in arguments:
            return len(value) == len(elements) and all(map(fits, value, elements))
        return all(fits(item, elements[0]) for item in value) if elements else True
    return True


def _name(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(map(str, typing.get_args(hint)))
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_name(argument) for argument in typing.get_args(hint))
    return "null" if hint is type(None) else getattr(hint, "__name__", str(hint)) if inspect.isclass(hint) else str(hint)


def _check_trainer(trainer: Mapping[str, Any]) -> None:
    import lightning as L

    from tenfold.engine.build import OWN_TRAINER_KEYS, STEPPING_KEYS, require_device
    from tenfold.engine.accumulation import Stepping

    known = [name for name in inspect.signature(L.Trainer.__init__).parameters if name != "self"] + list(OWN_TRAINER_KEYS)
    hints = typing.get_type_hints(L.Trainer.__init__) | typing.get_type_hints(Stepping) | {"compile": bool}
    for key, value in trainer.items():
        if key not in known:
            raise UserError(f"trainer.{key}: there is no such key{nearest(key, known)}")
        if not fits(value, hints.get(key, Any)):
            raise UserError(f"trainer.{key}: found {value!r}, expected {_name(hints[key])}")
    assert set(STEPPING_KEYS) <= set(known)
    require_device(trainer)


def _check_monitors(config: Mapping[str, Any]) -> None:
    """The metrics that callbacks watch must be among those that the module declares for validation."""
    metrics = [f"val/{name}" for name in resolve(config["model"]["_target_"]).metrics]
    for path, node in targets(config.get("callbacks") or {}, "callbacks"):
        monitor = node.get("monitor")
        if monitor is not None and monitor not in metrics:
            raise UserError(f"{path}.monitor: found {monitor!r}, expected one of {', '.join(metrics)}{nearest(monitor, metrics)}")


def check_batches(config: Mapping[str, Any]) -> None:
    """batch_size = devices x micro-batches x micro_batch_size must be possible."""
    trainer, batch = config["trainer"], config["data"].get("batch_size")
    devices = _world_size(trainer)
    micro, cuts = trainer.get("micro_batch_size"), trainer.get("accumulate_grad_batches")
    for key, value in (("micro_batch_size", micro), ("accumulate_grad_batches", cuts)):
        if isinstance(value, int) and value < 1:
            raise UserError(f"trainer.{key}: found {value}, expected at least 1")
    if not isinstance(batch, int):
        return
    if batch < 1:
        raise UserError(f"data.batch_size: found {batch}, expected at least 1")
    if devices is not None and batch % devices:
        raise UserError(f"data.batch_size: {batch} cannot be shared equally by {devices} devices; expected a multiple of {devices}")
    share = batch // (devices or 1)
    if isinstance(micro, int) and micro > share:
        raise UserError(f"trainer.micro_batch_size: {micro} is larger than the {share} samples of a batch on each device")
    if cuts is not None and cuts > share:
        raise UserError(f"trainer.accumulate_grad_batches: {cuts} micro-batches cannot be cut from {share} samples a device")
    if isinstance(micro, int) and cuts is not None and -(-share // micro) != cuts:
        raise UserError(
            f"trainer.accumulate_grad_batches: {cuts} disagrees with trainer.micro_batch_size: {micro}, which cuts the "
            f"{share} samples of a device into {-(-share // micro)}; give one of the two"
        )
    if micro == "auto" and cuts is not None:
        raise UserError(f"trainer.accumulate_grad_batches: {cuts} disagrees with trainer.micro_batch_size: auto; give one of the two")


def _world_size(trainer: Mapping[str, Any]) -> int | None:
    devices = trainer.get("devices", 1)
    if isinstance(devices, (list, tuple)):
        devices = len(devices)
    return devices * int(trainer.get("num_nodes", 1)) if isinstance(devices, int) and devices > 0 else None


def check_batch(module: TenfoldModule, data: DataModule) -> None:
    """Let model and data meet on two samples: the network takes their shape, the loss their labels."""
    import torch

    from tenfold.engine.batch import num_samples

    was_training = {name: getattr(module, name).training for name in module.parts()}
    batch = data.sample("train", 2)
    module.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            sums, weights = module.losses(batch), module.weights(batch)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        first = str(error).strip().splitlines()[0]
        shapes = ", ".join(_shapes(batch))
        raise UserError(f"model: does not take a batch of this data ({shapes}): {first}") from error
    finally:
        module.train()
        for name, training in was_training.items():
            getattr(module, name).train(training)
    if set(sums) != set(weights):
        raise UserError(f"model: losses gives {sorted(sums)} and weights {sorted(weights)}, expected the same names")
    assert num_samples(batch) > 0


def _shapes(batch: Any) -> Iterator[str]:
    import torch

    items = batch._asdict().items() if hasattr(batch, "_asdict") else enumerate([batch])
    for name, value in items:
        if isinstance(value, torch.Tensor):
            yield f"{name} {list(value.shape)}"
