"""What a person asks of `tenfold predict`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenfold.config.fits import expected, fits, hints_of
from tenfold.errors import UserError, check_number, nearest

if TYPE_CHECKING:
    from tenfold.engine.module import TenfoldModule


@dataclass(frozen=True)
class NoOptions:
    """For a module that answers inputs and can be told nothing else."""


@dataclass(frozen=True)
class Request:
    """sources: files, folders, or `-` for standard input; none where the topic makes its answers itself.
    batch_size: inputs answered, or samples made, at once.
    output: the file for the module's `answer_file`, where it has one.
    options: the module's own, of its `options_class`.
    """

    sources: Sequence[str] = ()
    batch_size: int = 256
    output: Path | None = None
    options: Any = field(default_factory=NoOptions)

    def needed_sources(self) -> Sequence[str]:
        """The sources. Raises `UserError` where none was named."""
        if not self.sources:
            raise UserError("input: missing, expected input=FILE, a folder, or - for standard input")
        return self.sources


#: The least value of options that mean the same wherever they are taken, and the largest where there is one.
LEAST = {"n": 1, "length": 1, "beam": 1, "seed": 0, "temperature": 0, "guidance": 0}
MOST = {"seed": 2**63 - 1}  # what a generator takes

#: The keys of `conf/predict.yaml` that every topic takes; the others are options of some topics.
COMMON_KEYS = frozenset({"run", "checkpoint", "input", "output", "batch_size", "outputs", "accelerator"})


def request_of(values: Mapping[str, Any], module: TenfoldModule, folder: Path) -> Request:
    """The request that the values of `conf/predict.yaml` make to `module`, of the run in `folder`.

    Raises `UserError` where an option or an input is given that the module does not take, or one of another type or
    below what it can be.
    """
    if not isinstance(values["batch_size"], int) or values["batch_size"] < 1:
        raise UserError(f"batch_size: found {values['batch_size']!r}, expected at least 1")
    source = values["input"]
    sources = [] if source is None else [str(s) for s in source] if isinstance(source, list) else [str(source)]
    if sources and not module.takes_input:
        recipe = module.config["recipe"]
        raise UserError(f"input: found {sources[0]!r}, but {recipe} makes its answers itself; expected none")
    output = Path(values["output"] or folder / module.answer_file) if module.answer_file else None
    if output is not None and not output.parent.is_dir():
        raise UserError(f"output: there is no folder {output.parent}")
    return Request(sources, values["batch_size"], output, _options(values, module))


def _options(values: Mapping[str, Any], module: TenfoldModule) -> Any:
    hints = hints_of(module.options_class)
    known = [field.name for field in dataclasses.fields(module.options_class)]
    given = {key: value for key, value in values.items() if key not in COMMON_KEYS and value is not None}
    for key, value in given.items():
        if key not in known:
            taken = f"it takes {', '.join(known)}{nearest(key, known)}" if known else "it takes none"
            raise UserError(f"{key}: {module.config['recipe']} has no such option; {taken}")
        if not fits(value, hints[key]):
            raise UserError(f"{key}: {expected(value, hints[key])}")
        if key in LEAST:
            check_number(key, value, LEAST[key], MOST.get(key, math.inf))
    return module.options_class(**given)
