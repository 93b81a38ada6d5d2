"""Any pictures, a folder for each class."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from tenfold.data.base import Labelled
from tenfold.data.images.base import Images, InMemory, LabelledImages
from tenfold.data.images.pictures import channels_of, decode, decode_all, pictures_in
from tenfold.data.labels import check_fractions, stratified
from tenfold.errors import UserError, nearest

SPLIT_FOLDERS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
MEMORY_SHARE = 0.25  # of this machine's memory, that decoded pictures may take
STATISTICS_SAMPLE = 1000  # pictures, spread over the training split, where they are not in memory


class PictureFiles:
    """Pictures `paths` of classes `labels` `[samples]`, decoded when fetched."""

    def __init__(self, paths: Sequence[Path], labels: Tensor, channels: int, size: Sequence[int]) -> None:
        self.paths, self.labels, self.channels, self.size = paths, labels, channels, tuple(size)

    def __len__(self) -> int:
        return len(self.paths)

    def fetch(self, indices: Tensor) -> Labelled:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # large or oddly tagged pictures are no news
            images = [decode(self.paths[index], self.channels, self.size) for index in indices.tolist()]
        empty = torch.empty(0, self.channels, *self.size, dtype=torch.uint8)
        return Labelled(torch.stack(images) if images else empty, self.labels[indices])

    def in_memory(self) -> InMemory:
        return InMemory(decode_all(self.paths, self.channels, self.size), self.labels)


class ImageFolder(Images):
    """Pictures of any size, in folders that are named after their class.

    `path` holds the class folders, or the folders `train`, `val` and `test` that do. A missing val or test split is
    carved from train, stratified. Class folders are searched with their subfolders; the names of pictures end in .png,
    .jpg and the like, other files are left alone.

    path: the folder.
    image_size: height and width, in pixels, to which every picture is brought; one number for a square.
    channels: 1 for grey, 3 for colour, auto for colour where any training picture has it.
    val_fraction, test_fraction: shares of all pictures that are carved where no folder gives the split.
    cache: hold all pictures in memory, 1 byte a pixel and channel, where they take no more than a quarter of it;
        else they are decoded as they are fetched, best with `num_workers` of about the number of cores.
    """

    def __init__(
        self,
        path: str,
        image_size: int | Sequence[int] = 64,
        channels: int | Literal["auto"] = "auto",
        val_fraction: float = 0.1,
        test_fraction: float = 0.2,
        cache: bool = True,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if channels not in (1, 3, "auto"):
            raise UserError(f"data.channels: found {channels!r}, expected 1, 3 or auto")
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        if len(self.image_size) != 2 or min(self.image_size) < 1:
            raise UserError(f"data.image_size: found {image_size}, expected pixels, or height and width in pixels")
        check_fractions(val_fraction, test_fraction)
        self.path, self.channels, self.cache = Path(path), channels, cache
        self.val_fraction, self.test_fraction = val_fraction, test_fraction

    def read_splits(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        folders = _split_folders(self.path)
        class_names = tuple(path.name for path in _subfolders(folders["train"]))
        if len(class_names) < 2:
            found = f"only {class_names[0]!r}" if class_names else "none"
            raise UserError(f"{folders['train']}: expected two class folders or more, found {found}")
        files = {split: _labelled_files(folder, class_names) for split, folder in folders.items()}
        self._carve(files)
        channels = self._channels(files["train"][0])
        parts = {name: PictureFiles(*part, channels, self.image_size) for name, part in files.items()}
        return (_in_memory(parts) if self.cache and self._fits(parts) else _checked(parts)), class_names

    def statistics_sample(self, train: LabelledImages) -> Tensor:
        size = len(train) if isinstance(train, InMemory) else min(len(train), STATISTICS_SAMPLE)
        return train.fetch(torch.arange(size) * len(train) // size).inputs

    def _carve(self, files: dict[str, tuple[list[Path], Tensor]]) -> None:
        """Add the missing splits, out of train."""
        total = len(files["train"][0])
        for split, fraction in (("test", self.test_fraction), ("val", self.val_fraction)):
            if split in files or fraction == 0:
                continue
            paths, labels = files["train"]
            rest, part = stratified(labels, fraction * total / len(paths), self.split_seed)
            files["train"] = [paths[i] for i in rest], labels[rest]
            files[split] = [paths[i] for i in part], labels[part]

    def _channels(self, paths: list[Path]) -> int:
        if self.channels != "auto":
            return int(self.channels)
        return 3 if any(channels_of(path) == 3 for path in paths) else 1

    def _fits(self, parts: dict[str, PictureFiles]) -> bool:
        pixels = sum(len(part) * part.channels * self.image_size[0] * self.image_size[1] for part in parts.values())
        limit = MEMORY_SHARE * _physical_memory()
        if pixels > limit:
            rank_zero_warn(
                f"data.cache: the pictures take {pixels / 2**30:.1f} GiB, more than {limit / 2**30:.1f}; "
                "they are decoded as they are fetched, for which data.num_workers should be about the number of cores"
            )
        return pixels <= limit


def _in_memory(parts: dict[str, PictureFiles]) -> dict[str, InMemory]:
    return {name: part.in_memory() for name, part in parts.items()}


def _checked(parts: dict[str, PictureFiles]) -> dict[str, PictureFiles]:
    """Read the head of every file, for what is no picture should be told now and not in the middle of an epoch."""
    for part in parts.values():
        for path in part.paths:
            channels_of(path)
    return parts


def _split_folders(path: Path) -> dict[str, Path]:
    """The folder of each split that has one; `path` itself for train where it holds the classes."""
    if not path.is_dir():
        raise UserError(f"data.path: {path} is no folder, expected one folder for each class in it")
    found = {split: path / name for split, names in SPLIT_FOLDERS.items() for name in names if (path / name).is_dir()}
    return found if "train" in found else {"train": path}


def _labelled_files(folder: Path, class_names: tuple[str, ...]) -> tuple[list[Path], Tensor]:
    """All pictures of a split with the index of their class, `[samples]`."""
    paths: list[Path] = []
    labels: list[int] = []
    for subfolder in _subfolders(folder):
        if subfolder.name not in class_names:
            hint = nearest(subfolder.name, class_names)
            raise UserError(f"{subfolder}: no such class among the training folders{hint}")
        inside = pictures_in(subfolder)
        if not inside:
            raise UserError(f"{subfolder}: no picture in this class folder, expected files such as .png or .jpg")
        paths += inside
        labels += [class_names.index(subfolder.name)] * len(inside)
    return paths, torch.tensor(labels, dtype=torch.int64)


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _physical_memory() -> float:
    """Bytes of this machine, endless where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return float("inf")
