"""Picture files: found, decoded, brought to one size and one number of channels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from tenfold.errors import UserError

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp", ".avif", ".jp2"}
)
NO_PICTURE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    Image.DecompressionBombError,
)  # what Pillow raises on bad files


def pictures_in(folder: Path) -> list[Path]:
    """The picture files of a folder and its subfolders, by name, sorted; hidden files are left out."""
    found = (Path(at, name) for at, _, names in os.walk(folder, followlinks=True) for name in names)
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))


def picture_files(sources: Sequence[str]) -> list[Path]:
    """The files that `sources` name: files as they are, folders recursively."""
    files: list[Path] = []
    for source in map(Path, sources):
        if not source.exists():
            raise UserError(f"{source}: no such file or folder, expected a picture or a folder of pictures")
        inside = pictures_in(source) if source.is_dir() else [source]
        if not inside:
            raise UserError(f"{source}: no picture in this folder, expected files such as .png or .jpg")
        files += inside
    return files


def channels_of(path: Path) -> int:
    """1 for a grey picture, 3 for one in colour; reads the header only."""
    try:
        with Image.open(path) as image:
            return 1 if image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I") else 3
    except NO_PICTURE as error:
        raise _no_picture(path, error) from error


def decode(path: Path, channels: int, size: Sequence[int]) -> Tensor:
    """A picture as uint8 `[channels, height, width]`, by antialiased bilinear resampling to `size` (height, width).

    The camera's orientation is applied, transparency is laid on white. Raises `UserError` on what is no picture.
    """
    height, width = size
    try:
        with Image.open(path) as opened:
            opened.draft(None, (2 * max(size), 2 * max(size)))  # a JPEG decodes faster at a half, a quarter, ...
            image = _to_mode(ImageOps.exif_transpose(opened), "L" if channels == 1 else "RGB")
            image = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    except NO_PICTURE as error:
        raise _no_picture(path, error) from error
    return torch.from_numpy(np.array(image)).view(height, width, channels).permute(2, 0, 1).contiguous()


def decode_all(paths: Sequence[Path], channels: int, size: Sequence[int]) -> Tensor:
    """Pictures as uint8 `[pictures, channels, height, width]`, decoded on every core."""
    images = torch.empty(len(paths), channels, *size, dtype=torch.uint8)
    # The filter of warnings is the whole process's: set here, not by each thread, which would leave it as it likes.
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside Python's lock
        warnings.simplefilter("ignore")  # large or oddly tagged pictures are no news
        for i, image in enumerate(pool.map(lambda path: decode(path, channels, size), paths)):
            images[i] = image
    return images


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey, which `convert` would clip at 255
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 256).astype(np.uint8))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert(mode)


def _no_picture(path: Path, error: BaseException) -> UserError:
    if isinstance(error, OSError) and error.strerror:
        return UserError(f"{path}: cannot be read ({error.strerror})")
    reason = "" if isinstance(error, Image.UnidentifiedImageError) else f" ({error})"
    return UserError(f"{path}: is not a picture, or a damaged one{reason}; expected a file such as .png or .jpg")
