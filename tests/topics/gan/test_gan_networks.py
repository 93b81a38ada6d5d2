"""Generators and discriminators: shapes, classes, and samples that do not look at one another."""

from __future__ import annotations

import pytest
import torch

from tenfold.errors import UserError
from tenfold.topics.gan.networks import ImageDiscriminator, ImageGenerator, PointDiscriminator, PointGenerator


def pairs():
    torch.manual_seed(0)
    yield PointGenerator(2, 3, (8,)), PointDiscriminator(2, (8,), octaves=2), False
    for classes in (0, 4):
        sizes = {"in_channels": 3, "image_size": (8, 12), "num_classes": 4, "conditional": classes > 0}
        yield (
            ImageGenerator(**sizes, latent_size=3, channels=(16, 8)),
            ImageDiscriminator(**sizes, channels=(4, 8)),
            classes,
        )


@pytest.mark.parametrize("generator, discriminator, classes", list(pairs()))
def test_a_sample_is_made_and_judged_alone(generator, discriminator, classes):
    noise, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 3, 0])
    condition = (labels,) if classes else ()
    samples = generator(noise, *condition)
    scores = discriminator(samples, *condition)
    assert samples.shape in {(5, 2), (5, 3, 8, 12)} and scores.shape == (5,)
    alone = tuple(value[2:3] for value in condition)
    assert torch.allclose(generator(noise[2:3], *alone), samples[2:3], atol=1e-5)
    assert torch.allclose(discriminator(samples[2:3], *alone), scores[2:3], atol=1e-5)


def test_images_are_pixels_and_the_class_matters_to_both():
    generator, discriminator, _ = list(pairs())[2]
    noise = torch.randn(1, 3).expand(2, -1)
    images = generator(noise, torch.tensor([0, 1]))
    assert images.min() >= 0 and images.max() <= 1
    assert not torch.allclose(images[0], images[1])
    scores = discriminator(images[:1].expand(2, -1, -1, -1), torch.tensor([0, 1]))
    assert scores[0] != scores[1]


def test_sides_that_cannot_be_doubled_to_are_refused():
    with pytest.raises(UserError, match="generator.channels: found 2 widths.*divides 8 and 10"):
        ImageGenerator(1, (8, 10), channels=(8, 8))
    with pytest.raises(UserError, match="discriminator.channels: 4 halvings leave nothing"):
        ImageDiscriminator(1, (8, 8), channels=(4, 4, 4, 4))
