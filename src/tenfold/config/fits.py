"""Whether a config's plain values are what the annotations of a class or function ask for."""

from __future__ import annotations

import inspect
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tenfold.errors import nearest

_UNIONS = (typing.Union, types.UnionType)
_SCALARS = (int, float, str, bool, types.NoneType)


def hints_of(function: Any) -> dict[str, Any]:
    """The annotations of a function's arguments, or of a class's own and inherited constructors."""
    functions = [function]
    if inspect.isclass(function):
        functions = [vars(cls)["__init__"] for cls in reversed(function.__mro__) if "__init__" in vars(cls)]
    hints: dict[str, Any] = {}
    for each in functions:
        try:
            hints |= typing.get_type_hints(each)
        except (NameError, TypeError):  # annotations that are imported for type checkers only: nothing to check against
            continue
    return hints


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain config value can be what the annotation says; True where that cannot be told."""
    if hint is Any or (isinstance(value, Mapping) and "_target_" in value):
        return True
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in _UNIONS:
        return any(fits(value, argument) for argument in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin is typing.Annotated:
        return fits(value, arguments[0])
    if inspect.isclass(origin):
        return _fits_generic(value, origin, arguments)
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    return _fits_class(value, hint) if inspect.isclass(hint) else True


def _fits_class(value: Any, hint: type) -> bool:
    if isinstance(value, str) and issubclass(hint, os.PathLike):
        return True
    if getattr(hint, "_is_protocol", False):  # something with methods, which no plain value has
        return not isinstance(value, _SCALARS)
    return isinstance(value, hint) or not (hint in _SCALARS or isinstance(value, _SCALARS))


def _fits_generic(value: Any, origin: type, arguments: tuple[Any, ...]) -> bool:
    if origin is Callable:
        return False  # only a `_target_` is called
    if not issubclass(origin, Iterable):
        return True
    if issubclass(origin, Mapping):
        return isinstance(value, Mapping)
    if not isinstance(value, (list, tuple)):
        return False
    if origin is tuple and Ellipsis not in arguments:
        return len(value) == len(arguments) and all(map(fits, value, arguments))
    return all(fits(item, arguments[0]) for item in value) if arguments else True


def expected(value: Any, hint: Any) -> str:
    """The end of an error line: what was found, what the annotation says, and the nearest of its words."""
    words = [choice for choice in _choices(hint) if isinstance(choice, str)]
    return f"found {value!r}, expected {name_of(hint)}{nearest(str(value), words)}"


def name_of(hint: Any) -> str:
    """An annotation as a person would say it in YAML."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " or ".join(dict.fromkeys(map(str, arguments)))
    if origin in _UNIONS:
        return " or ".join(dict.fromkeys(map(name_of, arguments)))
    if origin is Callable:
        return "a _target_"
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return "keys and values"
    if inspect.isclass(origin) and issubclass(origin, Iterable):
        names = [name_of(argument) for argument in arguments if argument is not Ellipsis]
        return f"[{', '.join(names)}]" if origin is tuple and Ellipsis not in arguments else f"a list of {names[0]}"
    if hint is types.NoneType:
        return "null"
    return hint.__name__ if inspect.isclass(hint) else str(hint)


def _choices(hint: Any) -> tuple[Any, ...]:
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) in _UNIONS:
        return tuple(choice for argument in arguments for choice in _choices(argument))
    return arguments if typing.get_origin(hint) is typing.Literal else ()
