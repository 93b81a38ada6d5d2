import math

import pytest
import torch
from torch import Generator, Tensor

from tenfold.data.images.augment import Augmentation, Compose, Flip, Shift, Warp


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def blob(height: int, width: int, y: float, x: float, samples: int = 64) -> Tensor:
    """A Gaussian spot `y` and `x` pixels from the centre, on black, `[samples, 1, height, width]`."""
    rows = torch.arange(height) - (height - 1) / 2
    columns = torch.arange(width) - (width - 1) / 2
    spot = torch.exp(-((rows.view(-1, 1) - y) ** 2 + (columns - x) ** 2) / 8)
    return spot.expand(samples, 1, height, width)


def centres(images: Tensor) -> Tensor:
    """Centre of mass from the image's centre, in pixels, `[samples, 2]` as y and x."""
    height, width = images.shape[2:]
    mass = images.sum((1, 2, 3))
    y = (images.sum((1, 3)) * (torch.arange(height) - (height - 1) / 2)).sum(1) / mass
    x = (images.sum((1, 2)) * (torch.arange(width) - (width - 1) / 2)).sum(1) / mass
    return torch.stack([y, x], dim=1)


AUGMENTATIONS: list[Augmentation] = [
    Warp(10, 2, 0.1, 10),
    Warp(elastic=1.0),
    Flip(),
    Shift(2),
    Compose([Shift(2), Flip()]),
]


@pytest.mark.parametrize("augment", AUGMENTATIONS, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("shape", [(16, 1, 8, 8), (16, 3, 20, 14)])
def test_same_generator_same_batch_and_the_input_is_untouched(
    augment: Augmentation, shape: tuple[int, int, int, int]
) -> None:
    images = torch.rand(shape)
    before = images.clone()
    once, again, other = augment(images, generator()), augment(images, generator()), augment(images, generator(1))
    assert once.shape == images.shape and once.dtype == images.dtype
    assert torch.equal(images, before)
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


@pytest.mark.parametrize("augment", AUGMENTATIONS, ids=lambda a: type(a).__name__)
def test_samples_are_drawn_apart_and_a_flat_image_stays(augment: Augmentation) -> None:
    same = torch.rand(1, 3, 16, 16).expand(32, -1, -1, -1)
    assert len(torch.unique(augment(same, generator()).flatten(1), dim=0)) > 1
    flat = torch.full((8, 1, 16, 16), -0.42)
    torch.testing.assert_close(augment(flat, generator()), flat)


def test_warp_of_nothing_is_the_identity() -> None:
    images = torch.rand(4, 3, 9, 14)
    torch.testing.assert_close(Warp()(images, generator()), images, atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(32, 32), (48, 32), (32, 48)])
def test_warp_rotates_without_distortion_by_at_most_the_degrees(size: tuple[int, int]) -> None:
    turned = centres(Warp(degrees=30)(blob(*size, 0.0, 8.0), generator()))
    angles = torch.atan2(turned[:, 0], turned[:, 1]).rad2deg()
    torch.testing.assert_close(turned.norm(dim=1), torch.full((64,), 8.0), atol=0.1, rtol=0)
    assert 20 < angles.max() < 31 and -31 < angles.min() < -20


def test_warp_translates_in_pixels() -> None:
    moved = centres(Warp(translate=4)(blob(40, 28, 0.0, 0.0), generator()))
    assert moved.abs().max() < 4.05
    assert (moved.amax(0) > 3).all() and (moved.amin(0) < -3).all()


def test_warp_scales_evenly_up_and_down() -> None:
    ratio = centres(Warp(scale=0.25)(blob(40, 40, 0.0, 8.0, samples=256), generator()))[:, 1] / 8
    assert 1.15 < ratio.max() < 1.27 and 0.79 < ratio.min() < 0.86
    assert abs(ratio.log().mean()) < 0.03


def test_warp_shears_rows_against_each_other() -> None:
    moved = centres(Warp(shear=30)(blob(40, 40, 8.0, 0.0), generator()))
    torch.testing.assert_close(moved[:, 0], torch.full((64,), 8.0), atol=0.1, rtol=0)
    assert 0.8 * 8 * math.tan(math.radians(30)) < moved[:, 1].abs().max() < 1.05 * 8 * math.tan(math.radians(30))


def test_warp_elastic_moves_by_about_the_pixels_given() -> None:
    knots = centres(Warp(elastic=1.5, cells=3)(blob(41, 41, 0.0, 0.0, samples=512), generator()))
    assert 1.2 < knots.std() < 1.8  # the blob sits on the middle knot


def test_flip_gives_the_image_or_its_mirror_half_of_the_time() -> None:
    images = torch.rand(400, 1, 5, 6)
    flipped = Flip()(images, generator())
    mirrored = (flipped == images.flip(3)).all(3).all(2).all(1)
    assert (mirrored | (flipped == images).all(3).all(2).all(1)).all()
    assert 150 < mirrored.sum() < 250


def test_shift_reaches_every_offset_and_reflects_the_edge() -> None:
    image = torch.arange(20.0).view(1, 1, 4, 5)
    shifted = torch.unique(Shift(1)(image.expand(500, -1, -1, -1), generator()), dim=0)
    padded = torch.nn.functional.pad(image, [1] * 4, mode="reflect")
    windows = torch.cat([padded[:, :, y : y + 4, x : x + 5] for y in range(3) for x in range(3)])
    assert torch.equal(shifted, torch.unique(windows, dim=0))
