import gzip
import hashlib
import struct

import pytest
import torch

from tenfold.data.images import idx
from tenfold.data.images.idx import MNIST, FashionMNIST, read_idx
from tenfold.errors import UserError

IMAGES = torch.randint(0, 256, (60, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(10, dtype=torch.uint8).repeat(6)


def encoded(tensor) -> bytes:
    return bytes([0, 0, 8, tensor.dim()]) + struct.pack(f">{tensor.dim()}I", *tensor.shape) + tensor.numpy().tobytes()


def write(folder, pack=False) -> None:
    folder.mkdir(parents=True)
    for part, count in (("train", 60), ("t10k", 20)):
        for name, tensor in (("images-idx3", IMAGES[:count]), ("labels-idx1", LABELS[:count])):
            content = encoded(tensor)
            path = folder / f"{part}-{name}-ubyte{'.gz' * pack}"
            path.write_bytes(gzip.compress(content) if pack else content)


def loaded(root, cls=MNIST, **options):
    data = cls(root=str(root), batch_size=8, **options)
    data.prepare_data()
    data.setup()
    return data


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize("folder", [".", "FashionMNIST/raw", "FashionMNIST"])
def test_files_are_found_where_they_are_commonly_put(folder, pack, tmp_path):
    write(tmp_path / "root" / folder, pack)
    data = loaded(tmp_path / "root", FashionMNIST, val_fraction=1 / 3)
    assert {split: len(part) for split, part in data.splits.items()} == {"train": 40, "val": 20, "test": 20}
    assert data.splits["test"].data.inputs.equal(IMAGES[:20].unsqueeze(1))
    assert data.labels("test").equal(LABELS[:20].long())
    assert data.labels("val").bincount().tolist() == [2] * 10
    assert data.spec.class_names[9] == "Ankle boot"


def test_without_files_the_error_says_which_to_put_where(tmp_path):
    with pytest.raises(UserError) as caught:
        loaded(tmp_path)
    for expected in ("data.root", f"{tmp_path}/MNIST/raw", "t10k-labels-idx1-ubyte", "data.download=true"):
        assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_are_downloaded_and_checked(tmp_path, monkeypatch):
    write(tmp_path / "server", pack=True)
    files = {path.name.removesuffix(".gz"): path.read_bytes() for path in (tmp_path / "server").iterdir()}
    monkeypatch.setattr(MNIST, "mirrors", [(tmp_path / "server").as_uri() + "/"])
    monkeypatch.setattr(MNIST, "checksums", {name: hashlib.md5(content).hexdigest() for name, content in files.items()})
    assert len(loaded(tmp_path / "data", download=True).splits["test"]) == 20
    monkeypatch.setattr(idx, "download", None)  # what is there is not fetched again
    assert len(loaded(tmp_path / "data", download=True).splits["test"]) == 20
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"data\.root"):
        loaded(tmp_path / "other")


BAD = {
    "too short": lambda content: content[:-1],
    "too long": lambda content: content + b"x",
    "no magic": lambda content: b"\x1f\x8b" + content[2:],
    "floats": lambda content: bytes([0, 0, 13]) + content[3:],
    "no head": lambda content: content[:6],
    "empty": lambda content: b"",
    "endless": lambda content: content[:4] + b"\xff" * 12 + content[16:],
}


@pytest.mark.parametrize("damage", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("pack", [False, True])
def test_a_damaged_file_is_named_in_one_line(damage, pack, tmp_path):
    path = tmp_path / f"train-images-idx3-ubyte{'.gz' * pack}"
    content = damage(encoded(IMAGES))
    path.write_bytes(gzip.compress(content) if pack else content)
    with pytest.raises(UserError, match="train-images-idx3-ubyte") as caught:
        read_idx(path, 3)
    assert "\n" not in str(caught.value)


def test_a_gzip_file_that_was_cut_is_named(tmp_path):
    write(tmp_path / "root", pack=True)
    path = tmp_path / "root" / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match=r"t10k-images-idx3-ubyte\.gz: not a whole gzip file"):
        loaded(tmp_path / "root")


@pytest.mark.parametrize("labels, message", [
    (LABELS[:-1], "holds 59 labels, expected 60"),
    (LABELS + 1, "found label 10, expected 0 to 9"),
])  # fmt: skip
def test_labels_that_do_not_fit_are_refused(labels, message, tmp_path):
    write(tmp_path / "root")
    (tmp_path / "root" / "train-labels-idx1-ubyte").write_bytes(encoded(labels))
    with pytest.raises(UserError, match=f"train-labels-idx1-ubyte: {message}"):
        loaded(tmp_path / "root")


def test_no_samples_are_an_empty_split(tmp_path):
    write(tmp_path / "root")
    (tmp_path / "root" / "t10k-images-idx3-ubyte").write_bytes(encoded(IMAGES[:0]))
    (tmp_path / "root" / "t10k-labels-idx1-ubyte").write_bytes(encoded(LABELS[:0]))
    with pytest.raises(UserError, match="the test split is empty"):
        loaded(tmp_path / "root")
