import numpy as np
import pytest
import torch
from PIL import Image

from tenfold.data.images.pictures import channels_of, decode, decode_all, picture_files
from tenfold.errors import UserError

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(path, **options)
    return path


def test_a_picture_of_the_right_size_comes_back_as_it_is(tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    assert decode(save(tmp_path / "a.png", GREY), 1, (6, 8)).equal(torch.from_numpy(GREY)[None])
    assert decode(save(tmp_path / "b.png", colour), 3, (6, 8)).equal(torch.from_numpy(colour).permute(2, 0, 1))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "CMYK", "I;16", "I"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_picture_gives_the_channels_that_are_asked_for(mode, channels, tmp_path):
    wide = Image.fromarray(GREY.astype(np.uint16) * 257) if mode == "I;16" else None
    image = wide or Image.fromarray(GREY.astype(np.int32) * 257 if mode == "I" else GREY).convert(mode)
    found = decode(save(tmp_path / "a.tiff", image), channels, (6, 8))
    assert found.shape == (channels, 6, 8)
    assert found.dtype == torch.uint8
    if mode != "1":
        expected = torch.from_numpy(GREY).expand(channels, 6, 8)
        assert (found.int() - expected.int()).abs().max() <= 5  # a palette of 256 grey values, CMYK, rounding
    assert channels_of(tmp_path / "a.tiff") == (3 if mode in ("RGB", "RGBA", "P", "CMYK") else 1)


def test_large_pictures_are_resampled_with_antialiasing(tmp_path):
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (200, 100))
    found = decode(save(tmp_path / "a.png", stripes), 1, (10, 10))
    assert (found.int() - 127).abs().max() <= 2  # without it: 0 or 255
    assert decode(save(tmp_path / "b.png", GREY), 1, (3, 5)).shape == (1, 3, 5)


def test_a_jpeg_decoded_at_reduced_size_looks_the_same(tmp_path):
    smooth = (np.add.outer(np.arange(512), np.arange(512)) // 4).astype(np.uint8)
    path = save(tmp_path / "a.jpg", smooth, quality=95)
    expected = np.asarray(Image.open(path).resize((32, 32), Image.Resampling.BILINEAR))
    assert np.abs(decode(path, 1, (32, 32))[0].numpy().astype(int) - expected).max() <= 2


def test_transparency_is_laid_on_white(tmp_path):
    hidden = np.zeros((4, 4, 4), dtype=np.uint8)  # black, and seen through
    hidden[:2, :, 3] = 255
    found = decode(save(tmp_path / "a.png", hidden), 1, (4, 4))
    assert found[0].tolist() == [[0] * 4] * 2 + [[255] * 4] * 2


def test_the_orientation_that_the_camera_noted_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    path = save(tmp_path / "a.png", GREY, exif=exif)
    assert decode(path, 1, (8, 6))[0].numpy().tolist() == np.rot90(GREY, -1).tolist()


def test_files_and_folders_are_found_sorted_and_recursively(tmp_path):
    for name in ("b.png", "a/z.JPG", "a/deep/y.png", ".hidden.png"):
        save(tmp_path / name, GREY, format="PNG")
    (tmp_path / "notes.txt").write_text("no picture, and not asked for")
    odd = save(tmp_path / "odd.dat", GREY, format="PNG")
    found = picture_files([str(odd), str(tmp_path)])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["odd.dat", "a/deep/y.png", "a/z.JPG", "b.png"]
    assert decode_all(found, 1, (6, 8)).equal(torch.from_numpy(GREY).expand(4, 1, 6, 8))


def bad_files(folder):
    (folder / "text.png").write_text("this is no picture")
    (folder / "empty.png").touch()
    whole = save(folder / "whole.png", np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    (folder / "cut.png").write_bytes(whole.read_bytes()[:3000])
    (folder / "head.png").write_bytes(whole.read_bytes()[:20])
    (folder / "folder.png").mkdir()
    return ["text.png", "empty.png", "cut.png", "head.png", "folder.png", "absent.png"]


def test_what_is_no_picture_is_named_in_one_line(tmp_path):
    for name in bad_files(tmp_path):
        with pytest.raises(UserError) as caught:
            decode(tmp_path / name, 3, (8, 8))
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_source_that_is_absent_or_empty_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent: no such file or folder"):
        picture_files([str(tmp_path / "absent")])
    with pytest.raises(UserError, match="no picture in this folder"):
        picture_files([str(tmp_path)])
