import numpy as np
import pytest
import torch
from PIL import Image

from tenfold.config.spec import spec_from_dict
from tenfold.data.images.spec import ImageSpec, pixel_statistics

SPEC = ImageSpec(3, 4, 5, (0.5, 0.25, 0.0), (0.5, 0.25, 1.0), ("cat", "dog"))


def test_it_gives_what_it_says_it_provides():
    arguments = SPEC.network_arguments()
    assert arguments == {"in_channels": 3, "image_size": (4, 5), "in_features": 60, "num_classes": 2}
    assert arguments.keys() == SPEC.provides


def test_it_survives_a_checkpoint(tmp_path):
    torch.save(SPEC.to_dict(), tmp_path / "spec.pt")
    restored = spec_from_dict(torch.load(tmp_path / "spec.pt", weights_only=True))
    assert restored == SPEC
    images = torch.zeros(1, 3, 4, 5, dtype=torch.uint8)
    assert restored.normalise(images).equal(SPEC.normalise(images))


def test_statistics_are_those_of_each_channel():
    images = torch.randint(0, 256, (20, 2, 3, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = pixel_statistics(images)
    pixels = images.double() / 255
    assert mean == pytest.approx(pixels.mean((0, 2, 3)).tolist())
    assert std == pytest.approx(pixels.std((0, 2, 3), unbiased=False).tolist())


def test_normalised_images_have_mean_0_and_deviation_1_but_for_a_dead_channel():
    images = torch.randint(0, 256, (50, 2, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[:, 1] = 77
    mean, std = pixel_statistics(images)
    found = ImageSpec(2, 8, 8, mean, std, ("a", "b")).normalise(images)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[:, 0].mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[:, 0].std(unbiased=False), torch.tensor(1.0))
    torch.testing.assert_close(found[:, 1], torch.zeros(50, 8, 8), atol=1e-6, rtol=0)


def test_pictures_are_read_in_batches_as_training_has_seen_them(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    for name, image in zip("cab", pixels):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    batches = list(SPEC.read([str(tmp_path)], batch_size=2))
    assert [names for names, _ in batches] == [[f"{tmp_path}/a.png", f"{tmp_path}/b.png"], [f"{tmp_path}/c.png"]]
    expected = SPEC.normalise(torch.from_numpy(pixels[[1, 2, 0]]).permute(0, 3, 1, 2))
    torch.testing.assert_close(torch.cat([inputs for _, inputs in batches]), expected)


def test_the_preprocessing_is_said_in_words():
    words = SPEC.preprocessing()
    assert words["input"] == "float32 [batch, 3, 4, 5], red, green, blue"
    assert "4 x 5" in words["size"]
    assert words["mean"] == "0.5, 0.25, 0.0"
    assert words["class_names"] == "cat, dog"
