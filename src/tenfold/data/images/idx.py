"""MNIST and FashionMNIST in their published form, the IDX format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from tenfold.data.download import download
from tenfold.data.files import read_bytes
from tenfold.data.images.base import Images, InMemory, hold_out
from tenfold.errors import UserError

UNSIGNED_BYTE = 0x08


def read_idx(path: Path, num_dims: int) -> Tensor:
    """An IDX file of bytes, gzipped or not: 0, 0, type, number of dimensions; each size, 32 bits big-endian; the data.

    Raises `UserError` where the file is of another form, or longer or shorter than its head says.
    """
    content = read_bytes(path)
    start = 4 + 4 * num_dims
    if len(content) < start or content[:4] != bytes([0, 0, UNSIGNED_BYTE, num_dims]):
        raise UserError(f"{path}: not an IDX file of bytes in {num_dims} dimensions, begins with {content[:4].hex()!r}")
    shape = [int(size) for size in np.frombuffer(content, dtype=">u4", count=num_dims, offset=4)]
    expected = int(np.prod(shape, dtype=object))
    if len(content) - start != expected:
        raise UserError(f"{path}: holds {len(content) - start} bytes of data, expected {expected}; fetch it again")
    return torch.from_numpy(np.frombuffer(content, dtype=np.uint8)[start:].reshape(shape).copy())


class IDX(Images):
    """Four IDX files: images and labels, to train on (`train-`) and to test (`t10k-`).

    They are looked for in `root`, `root/<folder>/raw` and `root/<folder>`, with or without `.gz`.

    root: the folder that holds the files, or where they are downloaded to.
    download: fetch what is missing, checked by its checksum.
    val_fraction: share of the training images that is held out to choose checkpoints on; 0 for none.
    """

    folder: ClassVar[str]
    class_names: ClassVar[tuple[str, ...]]
    mirrors: ClassVar[Sequence[str]]
    checksums: ClassVar[dict[str, str]]  # MD5 of each file, gzipped, as published

    def __init__(self, root: str = "data", download: bool = False, val_fraction: float = 0.1, **common: Any) -> None:
        super().__init__(**common)
        self.root, self.download, self.val_fraction = Path(root), download, val_fraction

    def prepare_data(self) -> None:
        for name in self.checksums:
            self.locate(name)

    def locate(self, name: str) -> Path:
        """Where one of the four files lies, downloaded if need be and allowed."""
        folders = [self.root, self.root / self.folder / "raw", self.root / self.folder]
        for path in (folder / (name + suffix) for folder in folders for suffix in ("", ".gz")):
            if path.is_file():
                return path
        if self.download:
            urls = [f"{mirror}{name}.gz" for mirror in self.mirrors]
            return download(urls, folders[1] / f"{name}.gz", self.checksums[name])
        raise UserError(
            f"data.root: no {name}[.gz] in {self.root} or {folders[1]}; "
            f"put {', '.join(self.checksums)} there, or set data.download=true"
        )

    def read_splits(self) -> tuple[dict[str, InMemory], tuple[str, ...]]:
        splits = hold_out(self._read("train"), self.val_fraction, self.split_seed)
        return {**splits, "test": self._read("t10k")}, self.class_names

    def _read(self, part: str) -> InMemory:
        image_file, label_file = self.locate(f"{part}-images-idx3-ubyte"), self.locate(f"{part}-labels-idx1-ubyte")
        images, labels = read_idx(image_file, 3), read_idx(label_file, 1)
        if len(images) != len(labels):
            raise UserError(f"{label_file}: holds {len(labels)} labels, expected {len(images)} as in {image_file.name}")
        if len(labels) and labels.max() >= len(self.class_names):
            raise UserError(f"{label_file}: found label {int(labels.max())}, expected 0 to {len(self.class_names) - 1}")
        return InMemory(images.unsqueeze(1), labels)


class MNIST(IDX):
    """Handwritten digits, 60,000 to train and validate on and 10,000 to test, 28 × 28 grey (LeCun et al., 1998)."""

    folder = "MNIST"
    class_names = tuple("0123456789")
    mirrors = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
    checksums: ClassVar = {
        "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
    }


class FashionMNIST(IDX):
    """Clothing, 60,000 to train and validate on and 10,000 to test, 28 × 28 grey (arXiv:1708.07747)."""

    folder = "FashionMNIST"
    class_names = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    )  # fmt: skip
    mirrors = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
    checksums: ClassVar = {
        "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
    }
