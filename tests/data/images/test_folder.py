import numpy as np
import pytest
import torch
from PIL import Image

from tenfold.data.images import folder as module
from tenfold.data.images.folder import ImageFolder
from tenfold.errors import UserError


def write(folder, count=10, colour=False, shade=100) -> None:
    """Pictures of different sizes, one shade each."""
    folder.mkdir(parents=True)
    for i in range(count):
        shape = (8 + i, 12) if not colour else (8 + i, 12, 3)
        Image.fromarray(np.full(shape, shade + i, dtype=np.uint8)).save(folder / f"{i:02}.png")


@pytest.fixture
def animals(tmp_path):
    write(tmp_path / "cat", shade=50)
    write(tmp_path / "dog", shade=150)
    return tmp_path


def loaded(path, **options):
    data = ImageFolder(str(path), **({"batch_size": 4, "image_size": 8} | options))
    data.setup()
    return data


def sizes(data):
    return {split: len(part) for split, part in data.splits.items()}


@pytest.mark.parametrize("cache", [True, False])
def test_one_folder_is_split_by_fraction_and_stratified(animals, cache):
    data = loaded(animals, val_fraction=0.2, test_fraction=0.3, cache=cache)
    assert sizes(data) == {"train": 10, "val": 4, "test": 6}
    assert data.spec.class_names == ("cat", "dog")
    for split in data.splits:
        assert (data.labels(split).bincount() * 2).tolist() == [len(data.splits[split])] * 2
        for i, label in enumerate(data.labels(split)):
            assert (data.example(split, i) >= 150).all() == bool(label)
    shades = [int(data.example(split, i)[0, 0, 0]) for split in data.splits for i in range(len(data.splits[split]))]
    assert sorted(shades) == [*range(50, 60), *range(150, 160)]  # every picture once


def test_decoded_as_fetched_or_held_in_memory_it_is_the_same(animals):
    held, fetched = loaded(animals), loaded(animals, cache=False, num_workers=1)
    assert held.spec == fetched.spec
    for expected, found in zip(held.train_dataloader(), fetched.train_dataloader(), strict=True):
        assert found.inputs.dtype == torch.uint8
        assert torch.equal(found.inputs, expected.inputs)
        assert torch.equal(found.labels, expected.labels)


def test_folders_of_splits_are_taken_as_they_are(tmp_path):
    for split, count in (("train", 6), ("valid", 2), ("test", 3)):
        for name in ("a", "b"):
            write(tmp_path / split / name, count)
    assert sizes(loaded(tmp_path)) == {"train": 12, "val": 4, "test": 6}


def test_a_missing_split_is_carved_from_train(tmp_path):
    for split, count in (("train", 10), ("val", 3)):
        for name in ("a", "b"):
            write(tmp_path / split / name, count)
    assert sizes(loaded(tmp_path, test_fraction=0.2)) == {"train": 16, "val": 6, "test": 4}
    assert sizes(loaded(tmp_path, test_fraction=0)) == {"train": 20, "val": 6}


@pytest.mark.parametrize("colour, channels, expected", [
    (False, "auto", 1), (True, "auto", 3), (True, 1, 1), (False, 3, 3),
])  # fmt: skip
@pytest.mark.parametrize("image_size", [(4, 6), 5])
def test_grey_and_colour_and_any_size(colour, channels, expected, image_size, tmp_path):
    write(tmp_path / "a")
    write(tmp_path / "b", colour=colour)
    data = loaded(tmp_path, channels=channels, image_size=image_size)
    size = (5, 5) if image_size == 5 else image_size
    assert data.spec.network_arguments()["in_channels"] == expected
    assert data.example("train", 0).shape == (expected, *size)
    assert len(data.spec.mean) == expected


def test_pictures_that_do_not_fit_in_memory_are_decoded_as_fetched(animals, monkeypatch):
    monkeypatch.setattr(module, "_physical_memory", lambda: 1000)
    with pytest.warns(UserWarning, match=r"data\.cache: the pictures take"):
        data = loaded(animals)
    assert isinstance(data.splits["train"], module.PictureFiles)
    assert len(list(data.train_dataloader())) == 4


@pytest.mark.parametrize("cache", [True, False])
def test_a_file_that_is_no_picture_is_named_before_training(animals, cache):
    (animals / "dog" / "99.png").write_text("no picture")
    with pytest.raises(UserError, match=r"dog/99\.png: is not a picture") as caught:
        loaded(animals, cache=cache, channels=3)
    assert "\n" not in str(caught.value)


def test_a_picture_that_was_cut_is_named_by_a_worker_in_one_line(animals):
    data = loaded(animals, cache=False, num_workers=1)
    for path in animals.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match=r"\.png: is not a picture, or a damaged one") as caught:
        list(data.train_dataloader())
    assert "\n" not in str(caught.value)


def test_an_empty_class_folder_is_named(animals):
    (animals / "fish").mkdir()
    with pytest.raises(UserError, match="fish: no picture in this class folder"):
        loaded(animals)


def test_one_class_is_refused(tmp_path):
    with pytest.raises(UserError, match="expected two class folders or more, found none"):
        loaded(tmp_path)
    write(tmp_path / "cat")
    with pytest.raises(UserError, match="expected two class folders or more, found only 'cat'"):
        loaded(tmp_path)


def test_a_class_that_is_not_in_train_is_refused_with_the_nearest_name(tmp_path):
    for name in ("train/cat", "train/dog", "test/cats"):
        write(tmp_path / name)
    with pytest.raises(UserError, match=r"test/cats: no such class among the training folders; did you mean 'cat'\?"):
        loaded(tmp_path)


@pytest.mark.parametrize("options, message", [
    ({"path": "absent"}, r"data\.path: absent is no folder"),
    ({"channels": 2}, r"data\.channels: found 2, expected 1, 3 or auto"),
    ({"image_size": [3]}, r"data\.image_size: found \[3\]"),
    ({"image_size": 0}, r"data\.image_size: found 0"),
    ({"test_fraction": -1}, r"data\.test_fraction: found -1"),
    ({"val_fraction": 0.5, "test_fraction": 0.5}, r"val_fraction \+ data\.test_fraction: found 1\.0"),
])  # fmt: skip
def test_options_that_cannot_be_are_refused(animals, options, message):
    with pytest.raises(UserError, match=message):
        loaded(**({"path": animals} | options))


def test_imbalance_is_warned_of(tmp_path):
    write(tmp_path / "common", 60)
    write(tmp_path / "rare", 2)
    with pytest.warns(UserWarning, match="imbalanced classes"):
        loaded(tmp_path)
