"""What a data set tells the network: shapes, classes, vocabularies."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tenfold.errors import UserError


@dataclass(frozen=True)
class DataSpec:
    """Everything that prediction must know of the data, in plain types.

    A DataModule has one as `spec` after `setup()`; the network is built from it; every checkpoint carries it, so that
    prediction needs no training data. Fields hold numbers, strings and tuples of them only.
    """

    #: The names that `network_arguments` gives, so that a config can be checked before any data is read.
    provides: ClassVar[frozenset[str]] = frozenset()

    def network_arguments(self) -> dict[str, Any]:
        """The constructor arguments that the data decides (`num_classes`, `in_channels`, ...), by name."""
        raise NotImplementedError

    def read(self, sources: Sequence[str], batch_size: int) -> Iterator[tuple[list[str], Any]]:
        """Turn what a person names on the command line into batches for the network.

        Yields `(names, inputs)`: a name for each sample (a path, a line of text) and the network's input, prepared just
        as in training. Raises `UserError` on a source that cannot be read.
        """
        raise NotImplementedError

    def example_inputs(self) -> tuple[Any, ...]:
        """Arguments of a network's forward for two samples of the data's shape; random, from a fixed seed."""
        raise NotImplementedError

    def free_dimensions(self) -> tuple[tuple[str, ...], ...]:
        """The leading dimensions of each network argument, by name, for export: any size, or "" for a fixed one."""
        return tuple(("batch",) for _ in self.example_inputs())

    def preprocessing(self) -> dict[str, str]:
        """How raw data becomes the network's input, in words, for the metadata of an exported network."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Plain types, with the class by name; the inverse of `spec_from_dict`."""
        cls = type(self)
        return {"_target_": f"{cls.__module__}.{cls.__qualname__}"} | {
            field.name: getattr(self, field.name) for field in dataclasses.fields(self)
        }


def spec_from_dict(values: dict[str, Any]) -> DataSpec:
    """Rebuild a spec from a checkpoint.

    Only subclasses of `DataSpec` that tenfold itself defines, or that a topic outside it had loaded already, are
    resolved: a file never gets another name imported.
    """
    arguments = dict(values)
    target = str(arguments.pop("_target_", ""))
    module_name = target.rpartition(".")[0]
    if module_name.split(".")[0] == "tenfold":
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(module_name)
    known = {f"{cls.__module__}.{cls.__qualname__}": cls for cls in _subclasses(DataSpec)}
    if target not in known:
        raise UserError(f"spec: {target!r} is not a known DataSpec; the checkpoint was not written by this version")
    return known[target](**arguments)


def _subclasses(cls: type) -> Iterator[type]:
    children: list[type] = cls.__subclasses__()
    for child in children:
        yield child
        yield from _subclasses(child)
