"""Composing configs with Hydra, from the command line and from code. Imports no torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from omegaconf import DictConfig, OmegaConf

from tenfold.engine.runs import stamp
from tenfold.errors import INTERRUPTED, UserError, nearest

OmegaConf.register_new_resolver("stamp", stamp, use_cache=True, replace=True)  # one name for the whole of a sweep
OmegaConf.register_new_resolver(
    "recipe", lambda experiment, model: experiment or f"{str(model).partition('/')[0]}/custom", replace=True
)


def conf_folder() -> Path:
    """The folder of configs: beside the package in a wheel, at the repository's root in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise UserError(f"conf: no configs beside {package}, expected conf/train.yaml; was the package installed whole?")


def run_with_hydra(verb: str, run: Callable[[DictConfig], int], arguments: Sequence[str]) -> int:
    """Compose `conf/<verb>.yaml` with the overrides in `arguments`; call `run` with it, or with each job of a sweep."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode

    arguments = _null_groups(arguments)
    _check_flags(arguments)
    codes: list[int] = []
    errors: list[UserError] = []  # kept out of Hydra's hands, which would print more than one line

    wanted = os.environ.get("HYDRA_FULL_ERROR", "0")

    def task(config: DictConfig) -> None:
        with _full_error(wanted):
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                _as_job(run(config))
                return
            try:
                codes.append(run(config))
            except UserError as error:
                errors.append(error)

    before = sys.argv
    sys.argv = [f"tenfold {verb}", *arguments]
    try:
        with _full_error("1"):  # errors come to us whole: how they are told is decided in one place
            hydra.main(config_path=str(conf_folder()), config_name=verb, version_base="1.3")(task)()
    except HydraException as error:
        raise UserError(_one_line(error, verb, arguments)) from error
    finally:
        sys.argv = before
    if errors:
        raise errors[0]
    return max(codes, default=0)


@contextmanager
def _full_error(value: str) -> Iterator[None]:
    """Hydra's own switch for tracebacks, set for a while."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


def _null_groups(overrides: Sequence[str]) -> list[str]:
    """`group=null` in Hydra's words for it: `~group`, or `group=[]` where several can be chosen."""
    found = []
    for override in overrides:
        group, _, value = override.partition("=")
        if value == "null" and (conf_folder() / group).is_dir():
            override = f"{group}=[]" if group in ("callbacks", "logger") else f"~{group}"
        found.append(override)
    return found


def _check_flags(arguments: Sequence[str]) -> None:
    """Refuse an unknown `--flag` in one line, where Hydra would print its usage."""
    from hydra._internal.utils import get_args_parser

    def refuse(message: str) -> NoReturn:
        raise UserError(f"{message}; `tenfold VERB --help` shows what a verb can be told")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    parser.parse_args(list(arguments))


def _as_job(code: int) -> None:
    """End a sweep's job with its exit code: Ctrl-C ends the sweep, a failure is the launcher's to tell."""
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code:
        raise UserError(f"ended with exit code {code}")


def compose(verb: str, overrides: Sequence[str] = ()) -> DictConfig:
    """The config of `tenfold <verb> <overrides>`, composed here. Raises `UserError` as the command line does."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException

    try:
        with initialize_config_dir(config_dir=str(conf_folder()), version_base="1.3"):
            config = hydra_compose(verb, overrides=_null_groups(overrides), return_hydra_config=True)
    except HydraException as error:
        raise UserError(_one_line(error, verb, overrides)) from error
    HydraConfig.instance().set_config(config)  # for ${hydra:...}
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    return config


def compose_aside(verb: str, overrides: Sequence[str] = ()) -> DictConfig:
    """As `compose`, in the middle of a run, whose own Hydra and `${hydra:...}` stay what they are."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    own, running = HydraConfig.instance().cfg, GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()  # there may be one only
    try:
        return compose(verb, overrides)
    finally:
        GlobalHydra.instance().hydra = running
        HydraConfig.instance().cfg = own


def to_plain(config: DictConfig, **changed: Any) -> dict[str, Any]:
    """All interpolations resolved, in plain types, some values changed before. Raises `UserError` naming the key.

    `scheduler=null` takes the choice away and leaves behind what the recipe said of it: that is no scheduler.
    """
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    from tenfold.config.instantiate import targets

    try:
        plain: Any = OmegaConf.to_container(OmegaConf.merge(config, changed), resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise UserError(f"{error.full_key}: missing, expected {error.full_key}=...") from error
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key or 'config'}: {_first_line(error)}") from error
    if isinstance(plain.get("scheduler"), dict) and not any(targets(plain["scheduler"])):
        plain["scheduler"] = None
    return plain


def scheduler_chosen() -> bool:
    """Whether the command line, with its defaults, has a scheduler: not after `scheduler=null`."""
    from hydra.core.hydra_config import HydraConfig

    return HydraConfig.initialized() and HydraConfig.get().runtime.choices.get("scheduler") is not None


def options(group: str) -> list[str]:
    """The names that a config group offers, such as `classification/cnn` in `model`."""
    root = conf_folder() / group
    return sorted(
        str(path.relative_to(root).with_suffix("")) for path in root.rglob("*.yaml") if path.name != "base.yaml"
    )


@contextmanager
def run_overrides() -> Iterator[list[str]]:
    """The overrides that the person typed for this job."""
    from hydra.core.hydra_config import HydraConfig

    yield list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def _one_line(error: Exception, verb: str, overrides: Sequence[str]) -> str:
    """Hydra's error in one line, with the nearest name where a group has no such option or a key does not exist."""
    from hydra.errors import OverrideParseException

    cause = error.__cause__
    text = _first_line(error)
    if isinstance(error, OverrideParseException):
        quoted = "; a value with special signs stands in quotes, and those in the shell's: 'key=\"a;b\"'"
        return f"override {error.override!r}: {text}; expected key=value{quoted if '=' in error.override else ''}"
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        for option in value.strip("[]").split(","):
            if "Could not" in text and f"'{key}/{option.strip()}'" in text:
                return f"{key}: there is no {option!r}{nearest(option, offered := options(key)) or _one_of(offered)}"
        if key and "Could not override" in text and f"'{key}'" in text:
            return f"{key}: there is no such key{_nearest_key(key, verb, overrides)} (+{key}=... adds one)"
    return f"{text} ({_first_line(cause)})" if cause is not None and _first_line(cause) not in text else text


def _one_of(names: Sequence[str]) -> str:
    return f"; expected one of {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"


def _nearest_key(key: str, verb: str, overrides: Sequence[str]) -> str:
    """The nearest key of what was chosen, its values aside."""
    chosen = [override for override in overrides if (conf_folder() / override.partition("=")[0]).is_dir()]
    try:
        return nearest(key, _keys(compose(verb, chosen)))
    except UserError:
        return ""


def _keys(config: Any, path: str = "") -> Iterator[str]:
    for key in config:
        name = f"{path}.{key}" if path else str(key)
        yield name
        unset = OmegaConf.is_missing(config, key) or OmegaConf.is_interpolation(config, key)
        if not unset and OmegaConf.is_dict(config[key]):
            yield from _keys(config[key], name)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
