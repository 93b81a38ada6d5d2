"""What a person tells `tenfold predict`, and the lines that refuse what makes no sense."""

from __future__ import annotations

from dataclasses import dataclass


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
