"""The optimized parts of a module (one network, or several that play against each other), one at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tenfold.errors import UserError

if TYPE_CHECKING:
    from tenfold.engine.module import TenfoldModule


def part_of(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The config for the optimized part `name`: its own where configs are given by part, else the one for all."""
    if "_target_" in config:
        return config
    if name not in config:
        raise UserError(
            f"optimizer or scheduler: found {', '.join(config) or 'nothing'}, expected one for {name!r} too"
        )
    return config[name]


@contextlib.contextmanager
def training_only(module: TenfoldModule, name: str) -> Iterator[None]:
    """Freeze the other optimized parts, so that a backward pass through them fills none of their gradients."""
    frozen = []
    for other in module.optimized:
        if other != name:
            frozen += [p for p in module.get_submodule(other).parameters() if p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def optimizer_of(module: TenfoldModule, index: int) -> Any:
    """Lightning's wrapping of the optimizer of the part at `index`."""
    optimizers: Any = module.optimizers()
    optimizer = optimizers[index] if len(module.optimized) > 1 else optimizers
    if index > 0:  # Lightning counts every step it is told of; `global_step` is to count the primary's
        optimizer._on_before_step = optimizer._on_after_step = _nothing
    return optimizer


def _nothing() -> None:
    """In place of Lightning's count of optimizer steps."""
