"""The only place that turns a `_target_` into an object."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Iterator, Mapping
from typing import Any

from hydra.utils import instantiate as hydra_instantiate
from omegaconf import DictConfig, OmegaConf

from tenfold.errors import UserError, nearest

#: Packages whose classes a checkpoint may name. `TENFOLD_ALLOW=package,...` in the environment adds a person's own.
ALLOWED_PACKAGES = frozenset({"tenfold", "torch", "torchvision", "torch_geometric", "torchmetrics", "lightning"})


def instantiate(config: Any, *args: Any, **supplied: Any) -> Any:
    """Build what `config` describes, children first, with `args` and `supplied` added to its own arguments.

    The config may use the whole of Hydra's instantiation grammar. A `UserError` from a constructor comes out as it is.
    """
    node = config if isinstance(config, DictConfig) else OmegaConf.create(dict(config))
    try:
        factory = hydra_instantiate(node, _partial_=True, _convert_="all")
        return factory(*args, **supplied)
    except Exception as error:
        raise _told_simply(error, str(node.get("_target_"))) from error


def _told_simply(error: BaseException, target: str) -> BaseException:
    """The `UserError` inside Hydra's wrapping, or the error itself where a constructor raised it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError):
            return cause
        cause = cause.__cause__
    if isinstance(error, (TypeError, ValueError)):
        return UserError(f"{target}: {error}")
    return error


def resolve(target: str, key: str = "_target_") -> Any:
    """The object with the dotted name `target`. Raises `UserError` that names `key`, with the nearest valid name."""
    parts = target.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:length])
        try:
            found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is not None and not f"{module_name}.".startswith(f"{error.name}."):
                raise UserError(
                    f"{key}: {target} needs the package {error.name!r}, which is not installed; "
                    "its topic's README names the extra"
                ) from error
            continue
        for name in parts[length:]:
            if not hasattr(found, name):
                where = getattr(found, "__name__", module_name)
                raise UserError(f"{key}: {target}: {where} has no {name!r}{nearest(name, dir(found))}")
            found = getattr(found, name)
        return found
    raise UserError(f"{key}: {target}: there is no package {parts[0]!r}{nearest(parts[0], ALLOWED_PACKAGES)}")


def signature_of(target: str) -> dict[str, inspect.Parameter]:
    """The parameters that `target` takes, by name, with those that a class hands on to its parents as `**kwargs`."""
    return parameters_of(resolve(target))


def parameters_of(function: Any) -> dict[str, inspect.Parameter]:
    """As `signature_of`. What a class takes for its parents counts as optional: it may give it to them itself."""
    if not inspect.isclass(function):
        return dict(inspect.signature(function).parameters)
    found: dict[str, inspect.Parameter] = {}
    named: list[inspect.Parameter] = []
    rest: list[inspect.Parameter] = []
    for cls in (cls for cls in function.__mro__[:-1] if "__init__" in vars(cls)):
        own = [p for p in inspect.signature(vars(cls)["__init__"]).parameters.values() if p.name != "self"]
        named = [p for p in own if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        rest = [p for p in own if p.kind is p.VAR_KEYWORD]
        optional = [p.replace(default=None, kind=p.KEYWORD_ONLY) for p in named] if found else named
        found = {p.name: p for p in optional} | found
        if not rest:
            return found
    return found | {p.name: p for p in rest} if named else found  # the last one keeps what no parent takes, for itself


def targets(config: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every node of a plain config that has a `_target_`, with the path of its key."""
    if isinstance(config, Mapping):
        if "_target_" in config:
            yield path, config
        for key, value in config.items():
            yield from targets(value, f"{path}.{key}" if path else str(key))
    elif isinstance(config, (list, tuple)):
        for index, value in enumerate(config):
            yield from targets(value, f"{path}[{index}]")


def require_allowed(config: Any) -> None:
    """Refuse a config out of a file when it names anything but a building block of an allowed package.

    A block is a class (a network, a module, a data source, ...) or a model function of torchvision, defined in an
    allowed package itself: neither a module that such a package happens to import (`torch.os`) nor a function that runs
    or loads code (`torch.hub.load`) passes. Nor does an interpolation, which could become any target; what Tenfold
    writes has none.
    """
    for path, text in _strings(config):
        if "${" in text:
            raise UserError(
                f"{path}: {text!r} is refused; expected a value, a run's own config has no interpolations left"
            )
    for path, node in targets(config):
        target = str(node["_target_"])
        if not _is_block(target):
            raise UserError(
                f"{path}._target_: {target!r} is refused; a checkpoint may name classes of "
                f"{', '.join(sorted(_allowed()))} (TENFOLD_ALLOW=package adds your own)"
            )


def _strings(config: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every string among a config's keys and values, with its key's path."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            name = f"{path}.{key}" if path else str(key)
            yield name, str(key)
            yield from _strings(value, name)
    elif isinstance(config, (list, tuple)):
        for index, value in enumerate(config):
            yield from _strings(value, f"{path}[{index}]")
    elif isinstance(config, str):
        yield path, config


def _allowed() -> frozenset[str]:
    return ALLOWED_PACKAGES | {name for name in os.environ.get("TENFOLD_ALLOW", "").split(",") if name}


def _is_block(target: str) -> bool:
    package = target.split(".")[0]
    if package not in _allowed():
        return False
    found = resolve(target)
    home = str(getattr(found, "__module__", ""))
    if home.split(".")[0] not in _allowed():
        return False
    if package not in ALLOWED_PACKAGES:
        return True
    if inspect.isclass(found):
        return package == "tenfold" or _is_component(found)
    return home.startswith(("torchvision.models", "tenfold.engine.schedules"))


def _is_component(cls: type) -> bool:
    import lightning as L
    from lightning.pytorch.loggers import Logger
    from torch import nn, optim

    bases = (nn.Module, optim.Optimizer, optim.lr_scheduler.LRScheduler, L.LightningDataModule, L.Callback, Logger)
    return issubclass(cls, bases)
