"""CIFAR-10 and CIFAR-100, from the binary or the Python form in which they are published."""

from __future__ import annotations

import io
import pickle
import tarfile
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from tenfold.data.download import download
from tenfold.data.files import read_bytes
from tenfold.data.images.base import Images, InMemory, hold_out
from tenfold.errors import UserError

PIXELS = 3 * 32 * 32
URL = "https://www.cs.toronto.edu/~kriz/"


class CIFAR(Images):
    """Colour images of 32 × 32 pixels, 50,000 to train and validate on and 10,000 to test (Krizhevsky, 2009).

    Looked for in `root` and `root/<folder>`: a folder or a `.tar.gz` archive, of the binary or the Python form.

    root: the folder that holds them, or where the binary archive is downloaded to.
    download: fetch it, checked by its checksum, where it is missing.
    val_fraction: share of the training images that is held out to choose checkpoints on; 0 for none.
    """

    folder: ClassVar[str]
    class_names: ClassVar[tuple[str, ...]]
    checksum: ClassVar[str]  # MD5 of the binary archive, as published
    binary: ClassVar[tuple[str, str]]  # archive and the folder in it
    python: ClassVar[tuple[str, str]]
    train_files: ClassVar[tuple[str, ...]]  # in the binary form with `.bin`
    test_files: ClassVar[tuple[str, ...]]
    label_key: ClassVar[bytes]  # in the Python form
    label_bytes: ClassVar[int]  # in the binary form, before the pixels of each image; the last one counts

    def __init__(self, root: str = "data", download: bool = False, val_fraction: float = 0.1, **common: Any) -> None:
        super().__init__(**common)
        self.root, self.download, self.val_fraction = Path(root), download, val_fraction

    def prepare_data(self) -> None:
        self.locate()

    def locate(self) -> Path:
        """The folder or archive, downloaded if need be and allowed."""
        for base in (self.root, self.root / self.folder):
            for archive, folder in (self.binary, self.python):
                if (base / folder).is_dir():
                    return base / folder
                if (base / archive).is_file():
                    return base / archive
        archive, folder = self.binary
        if self.download:
            return download([URL + archive], self.root / self.folder / archive, self.checksum)
        raise UserError(
            f"data.root: no {folder}, {archive}, {self.python[1]} or {self.python[0]} in {self.root} or "
            f"{self.root / self.folder}; put one there, or set data.download=true"
        )

    def read_splits(self) -> tuple[dict[str, InMemory], tuple[str, ...]]:
        source = self.locate()
        is_binary = source.name in self.binary
        folder, suffix = (self.binary[1], ".bin") if is_binary else (self.python[1], "")
        names = [name + suffix for name in (*self.train_files, *self.test_files)]
        contents = read_members(source, folder, names)
        decode = self._from_binary if is_binary else self._from_python
        parts = [decode(content, source / name) for name, content in zip(names, contents)]
        train, test = self._join(parts[: len(self.train_files)]), self._join(parts[len(self.train_files) :])
        return {**hold_out(train, self.val_fraction, self.split_seed), "test": test}, self.class_names

    def _from_binary(self, content: bytes, path: Path) -> np.ndarray:
        """Records `[images, label_bytes + pixels]`."""
        size = self.label_bytes + PIXELS
        if not content or len(content) % size:
            raise UserError(f"{path}: holds {len(content)} bytes, expected a multiple of {size}; fetch it again")
        return np.frombuffer(content, dtype=np.uint8).reshape(-1, size)

    def _from_python(self, content: bytes, path: Path) -> np.ndarray:
        """Records as in the binary form, with one label byte."""
        values = unpickle_arrays(content, path)
        pixels, labels = np.asarray(values.get(b"data")), values.get(self.label_key)
        good = pixels.dtype == np.uint8 and pixels.shape[1:] == (PIXELS,)
        if not good or not isinstance(labels, list) or len(labels) != len(pixels):
            raise UserError(
                f"{path}: expected 'data', bytes of [images, {PIXELS}], and a list {self.label_key.decode()!r}"
            )
        return np.column_stack([np.array(labels, dtype=np.uint8), pixels])

    def _join(self, parts: list[np.ndarray]) -> InMemory:
        records = torch.from_numpy(np.concatenate(parts))
        labels = records[:, -PIXELS - 1]
        if labels.max() >= len(self.class_names):
            raise UserError(f"data.root: found label {int(labels.max())}, expected 0 to {len(self.class_names) - 1}")
        return InMemory(records[:, -PIXELS:].reshape(-1, 3, 32, 32), labels)


def read_members(source: Path, folder: str, names: list[str]) -> list[bytes]:
    """The content of the files `names`, from a folder or from the archive that holds `folder`."""
    if source.is_dir():
        return [read_bytes(source / name) for name in names]
    wanted, found = {f"{folder}/{name}": name for name in names}, {}
    try:
        with tarfile.open(source) as archive:
            for member in archive:
                if member.isfile() and member.name in wanted:
                    found[wanted[member.name]] = archive.extractfile(member).read()  # type: ignore[union-attr]
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise UserError(f"{source}: not a whole archive ({error}); fetch it again") from error
    if missing := [name for name in names if name not in found]:
        raise UserError(f"{source}: holds no {folder}/{missing[0]}; fetch it again")
    return [found[name] for name in names]


class _ArrayUnpickler(pickle.Unpickler):
    """Builds numbers, strings, lists, dicts and numpy arrays only: a file can get nothing else called."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _reconstruct
        raise pickle.UnpicklingError(f"asks for {module}.{name}")


def _reconstruct(cls: type, shape: tuple[int, ...], dtype: bytes) -> np.ndarray:
    """The empty array with which the pickle of any array begins."""
    return np.ndarray.__new__(np.ndarray, (0,), "b")


def unpickle_arrays(content: bytes, path: Path) -> dict[bytes, Any]:
    """What a pickle of arrays and lists holds. Raises `UserError`, and runs nothing, where it holds anything else."""
    try:
        values = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise anything
        raise UserError(f"{path}: not a pickle of arrays and lists only ({error}); fetch it again") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds a {type(values).__name__}, expected a dict")
    return values


class CIFAR10(CIFAR):
    """CIFAR-10."""

    folder = "CIFAR10"
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    checksum = "c32a1d4ab5d03f1284b67883e8d87530"
    binary = ("cifar-10-binary.tar.gz", "cifar-10-batches-bin")
    python = ("cifar-10-python.tar.gz", "cifar-10-batches-py")
    train_files = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5")
    test_files = ("test_batch",)
    label_key = b"labels"
    label_bytes = 1


FINE_CLASSES = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle "
    "caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant "
    "flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man "
    "maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree "
    "plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper "
    "snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train "
    "trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)


class CIFAR100(CIFAR):
    """CIFAR-100, with its fine labels."""

    folder = "CIFAR100"
    class_names = tuple(FINE_CLASSES.split())
    checksum = "03b5dce01913d631647c71ecec9e9cb8"
    binary = ("cifar-100-binary.tar.gz", "cifar-100-binary")
    python = ("cifar-100-python.tar.gz", "cifar-100-python")
    train_files = ("train",)
    test_files = ("test",)
    label_key = b"fine_labels"
    label_bytes = 2
