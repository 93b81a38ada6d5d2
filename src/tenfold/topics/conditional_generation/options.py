"""What a person tells `tenfold predict`, and the lines that refuse what makes no sense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tenfold.errors import UserError, nearest


@dataclass(frozen=True)
class VAEOptions:
    """n: samples; condition: the class, by name (None: all in turn); temperature: of z (None: the model's)."""

    n: int = 64
    condition: str | int | None = None
    seed: int = 0
    temperature: float | None = None


@dataclass(frozen=True)
class FlowOptions:
    """n: samples; condition: the class, by name (None: all in turn); guidance: its strength (None: the model's)."""

    n: int = 64
    condition: str | int | None = None
    seed: int = 0
    guidance: float | None = None


@dataclass(frozen=True)
class TextOptions:
    """n: texts; condition: the class, by name (None: all in turn); length: tokens at most; temperature, guidance: None
    for the model's."""

    n: int = 8
    condition: str | int | None = None
    seed: int = 0
    length: int | None = None
    temperature: float | None = None
    guidance: float | None = None


def asked_labels(n: int, condition: str | int | None, class_names: Sequence[str]) -> Tensor:
    """The class of each of n samples, `[n]`. Raises `UserError` for none, or for a class that is not there."""
    if n < 1:
        raise UserError(f"n: found {n}, expected at least 1")
    if condition is None:
        return torch.arange(n) % len(class_names)
    name = str(condition)  # Hydra reads 7 as a number
    if name not in class_names:
        known = ", ".join(class_names) if len(class_names) <= 12 else f"one of {len(class_names)} classes"
        raise UserError(f"condition: found {name!r}, expected {known}{nearest(name, class_names)}")
    return torch.full((n,), list(class_names).index(name))


def check_seed(seed: int) -> int:
    """A seed that a generator takes. Raises `UserError`."""
    if not 0 <= seed < 2**63:
        raise UserError(f"seed: found {seed}, expected a whole number from 0")
    return seed
