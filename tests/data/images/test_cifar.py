import hashlib
import io
import pickle
import struct
import tarfile

import numpy as np
import pytest
import torch

from tenfold.data.images import cifar
from tenfold.data.images.cifar import CIFAR10, CIFAR100
from tenfold.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 3072), dtype=np.uint8)


def labels(cls) -> np.ndarray:
    return (np.arange(20) % len(cls.class_names)).astype(np.uint8)


def binary(cls) -> bytes:
    coarse = [np.full((20, 1), 99, dtype=np.uint8)] * (cls.label_bytes - 1)
    return np.column_stack([*coarse, labels(cls), PIXELS]).tobytes()


class Python2Pickler(pickle._Pickler):
    """Writes strings as Python 2 did, in which the sets are published: bytes without an encoding."""

    def save_string(self, value):
        content = value if isinstance(value, bytes) else value.encode()
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)

    dispatch = pickle._Pickler.dispatch | {bytes: save_string, str: save_string}


def python(cls) -> bytes:
    buffer = io.BytesIO()
    Python2Pickler(buffer, protocol=2).dump(
        {cls.label_key: labels(cls).tolist(), "data": PIXELS, "coarse_labels": [99] * 20}
    )
    return buffer.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def write(cls, root, form, packed) -> None:
    archive, folder = getattr(cls, form)
    content, suffix = (binary(cls), ".bin") if form == "binary" else (python(cls), "")
    files = {f"{folder}/{name}{suffix}": content for name in (*cls.train_files, *cls.test_files)}
    root.mkdir(parents=True, exist_ok=True)
    if not packed:
        (root / folder).mkdir()
        for name, data in files.items():
            (root / name).write_bytes(data)
        return
    with tarfile.open(root / archive, "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def loaded(cls, root, **options):
    data = cls(root=str(root), batch_size=8, **options)
    data.prepare_data()
    data.setup()
    return data


@pytest.mark.parametrize("cls", [CIFAR10, CIFAR100])
@pytest.mark.parametrize("form", ["binary", "python"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_published_form_gives_the_same_images(cls, form, packed, tmp_path):
    write(cls, tmp_path / cls.folder, form, packed)
    data = loaded(cls, tmp_path, val_fraction=0.25 if cls is CIFAR10 else 0)
    assert data.splits["test"].data.inputs.equal(torch.from_numpy(PIXELS).view(20, 3, 32, 32))
    assert data.labels("test").tolist() == labels(cls).tolist()
    assert sum(len(data.splits[split]) for split in data.splits) == 20 * (len(cls.train_files) + 1)
    assert len(data.spec.class_names) == {CIFAR10: 10, CIFAR100: 100}[cls]
    assert len(data.spec.mean) == 3


class Harmful:
    def __reduce__(self):
        return print, ("code of a stranger ran",)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, capsys):
    write(CIFAR10, tmp_path, "python", packed=False)
    path = tmp_path / CIFAR10.python[1] / "data_batch_3"
    path.write_bytes(pickle.dumps({b"data": Harmful(), b"labels": []}))
    with pytest.raises(UserError, match=r"data_batch_3: not a pickle of arrays and lists only \(asks for builtins"):
        loaded(CIFAR10, tmp_path)
    assert capsys.readouterr().out == ""


def test_numpy_does_not_open_a_way_to_code_either(tmp_path):
    for module, name in (("numpy", "load"), ("numpy.core.multiarray", "fromfile"), ("numpy", "dtype.type")):
        content = f"c{module}\n{name}\n.".encode()
        with pytest.raises(UserError, match="not a pickle of arrays"):
            cifar.unpickle_arrays(content, tmp_path / "a")


@pytest.mark.parametrize("values", [
    {b"data": PIXELS.astype(np.float32), b"labels": [0] * 20},
    {b"data": PIXELS, b"labels": [0] * 19},
    {b"data": PIXELS},
    {b"labels": [0]},
    [1, 2],
])  # fmt: skip
def test_a_pickle_of_another_shape_is_refused(values, tmp_path):
    write(CIFAR10, tmp_path, "python", packed=False)
    (tmp_path / CIFAR10.python[1] / "test_batch").write_bytes(pickle.dumps(values, protocol=3))
    with pytest.raises(UserError, match=r"test_batch: .*expected"):
        loaded(CIFAR10, tmp_path)


def test_damaged_files_are_named_in_one_line(tmp_path):
    write(CIFAR10, tmp_path / "folder", "binary", packed=False)
    path = tmp_path / "folder" / CIFAR10.binary[1] / "test_batch.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"test_batch\.bin: holds 61459 bytes, expected a multiple of 3073"):
        loaded(CIFAR10, tmp_path / "folder")
    path.unlink()
    with pytest.raises(UserError, match=r"test_batch\.bin: cannot be read"):
        loaded(CIFAR10, tmp_path / "folder")
    write(CIFAR10, tmp_path / "archive", "binary", packed=True)
    archive = tmp_path / "archive" / CIFAR10.binary[0]
    archive.write_bytes(archive.read_bytes()[:200_000])
    with pytest.raises(UserError, match=r"cifar-10-binary\.tar\.gz: not a whole archive") as caught:
        loaded(CIFAR10, tmp_path / "archive")
    assert "\n" not in str(caught.value)
    with tarfile.open(archive, "w:gz"):
        pass
    with pytest.raises(UserError, match=r"holds no cifar-10-batches-bin/data_batch_1\.bin"):
        loaded(CIFAR10, tmp_path / "archive")


def test_without_files_the_error_says_which_to_put_where(tmp_path):
    with pytest.raises(UserError) as caught:
        loaded(CIFAR100, tmp_path)
    for expected in ("data.root", "cifar-100-binary.tar.gz", "cifar-100-python", str(tmp_path), "data.download=true"):
        assert expected in str(caught.value)


def test_the_binary_archive_is_downloaded_and_checked(tmp_path, monkeypatch):
    write(CIFAR10, tmp_path / "server", "binary", packed=True)
    archive = tmp_path / "server" / CIFAR10.binary[0]
    monkeypatch.setattr(cifar, "URL", (tmp_path / "server").as_uri() + "/")
    with pytest.raises(UserError, match=CIFAR10.checksum):
        loaded(CIFAR10, tmp_path / "data", download=True)
    monkeypatch.setattr(CIFAR10, "checksum", hashlib.md5(archive.read_bytes()).hexdigest())
    assert len(loaded(CIFAR10, tmp_path / "data", download=True).splits["test"]) == 20
