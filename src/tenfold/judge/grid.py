"""Many small images as one picture."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from tenfold.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def sample_grid(pixels: Tensor, columns: int | None = None, margin: int = 2) -> Tensor:
    """`[height, width, channels]` of uint8: images `[n, channels, height, width]`, pixels from 0 to 1, in rows of
    `columns` (null: about a square), white between them and in places that are left over."""
    columns = columns or _square(len(pixels))
    bytes_ = (pixels.detach().float().clamp(0, 1) * 255).round().byte().cpu()
    rows = -(-len(bytes_) // columns)
    padded = functional.pad(bytes_, [margin] * 4, value=255)
    blank = padded.new_full((rows * columns - len(padded), *padded.shape[1:]), 255)
    channels, height, width = padded.shape[1:]
    cells = torch.cat([padded, blank]).view(rows, columns, channels, height, width)
    return cells.permute(0, 3, 1, 4, 2).reshape(rows * height, columns * width, channels)


def _square(count: int) -> int:
    return max(1, round(count**0.5))


def write_grid(pixels: Tensor, path: Path, columns: int | None = None) -> None:
    """The grid as a PNG file, which appears under its name only when it is whole."""
    from PIL import Image

    grid = sample_grid(pixels, columns).numpy()
    temporary = path.with_name(f"{path.name}.part")
    try:
        Image.fromarray(grid.squeeze(2) if grid.shape[2] == 1 else grid).save(temporary, format="PNG")
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"output: {path} cannot be written ({error.strerror})") from error
    finally:
        temporary.unlink(missing_ok=True)


def grid_figure(pixels: Tensor, title: str, columns: int | None = None) -> Figure:
    """The grid for the dashboard, under a line of text."""
    from tenfold.callbacks.figures import new_figure

    grid = sample_grid(pixels, columns)
    height, width = grid.shape[:2]
    inches = 6.0
    with new_figure(inches, inches * height / width + 0.4) as figure:
        share = 1 - 0.4 / (inches * height / width + 0.4)
        axes = figure.add_axes((0, 0, 1, share))
        axes.axis("off")
        axes.imshow(grid.squeeze(2).numpy(), cmap="gray", vmin=0, vmax=255, aspect="auto")
        figure.text(0.5, (1 + share) / 2, title, ha="center", va="center", fontsize=10)
    return figure
