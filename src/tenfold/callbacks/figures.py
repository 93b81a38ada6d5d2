"""The look of every figure, and its way to pixels; matplotlib without pyplot, so that nothing global is touched."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

BLUE, ORANGE, INK, GREY = "#2f6db3", "#cf5c1f", "#22272e", "#8a939e"
CJK_FONTS: tuple[str, ...] = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
)
CJK_FONTS += ("Microsoft YaHei", "PingFang SC", "Hiragino Sans GB", "SimHei", "Arial Unicode MS", "Droid Sans Fallback")


@contextlib.contextmanager
def new_figure(width: float, height: float) -> Iterator[Figure]:
    """A figure of so many inches; what is drawn while the context is open takes the house style."""
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = {
        "font.family": list(font_families()),
        "font.size": 9,
        "axes.titlesize": 11,
        "axes.edgecolor": GREY,
        "axes.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#e6e9ed",
        "axes.axisbelow": True,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "legend.frameon": False,
        "legend.fontsize": 8,
    }
    with matplotlib.rc_context(style):
        yield Figure(figsize=(width, height), dpi=120, facecolor="white")


def render(figure: Figure) -> np.ndarray:
    """The figure's pixels `[height, width, 3]`, of uint8."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@functools.cache
def font_families() -> tuple[str, ...]:
    """Matplotlib's own font, and the first font for Chinese that this machine has."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ("DejaVu Sans", *[name for name in CJK_FONTS if name in installed][:1])


@functools.cache
def _drawable_characters() -> frozenset[int]:
    from matplotlib import font_manager

    fonts = [font_manager.get_font(font_manager.findfont(family)) for family in font_families()]
    return frozenset().union(*(font.get_charmap() for font in fonts))


def printable(names: Sequence[str], longest: int = 18) -> list[str]:
    """Class names for a figure: cut to length, with no mathematics; a number for a name that no font here can write."""
    drawable = [
        name if _drawable_characters().issuperset(map(ord, name)) else f"class {i}" for i, name in enumerate(names)
    ]
    cut = [name if len(name) <= longest else name[: longest - 1] + "…" for name in drawable]
    return [name.replace("$", r"\$") for name in cut]


def text_width(text: str, fontsize: float) -> float:
    """About how many inches the text takes in a line, without drawing it."""
    return sum(1.0 if ord(character) > 0x2E80 else 0.62 for character in text) * fontsize / 72
