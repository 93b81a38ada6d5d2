from types import SimpleNamespace

import pytest
import torch

from tenfold.data.images.digits import Digits


def noise(images, generator):
    return images + torch.randn(images.shape, generator=generator)


@pytest.fixture
def data():
    module = Digits(batch_size=32, augment=noise, seed=5)
    module.setup()
    return module


def trainer(batch=0, rank=0, training=True, dtype=torch.float32):
    return SimpleNamespace(
        training=training,
        overfit_batches=0,
        global_rank=rank,
        world_size=1,
        fit_loop=SimpleNamespace(total_batch_idx=batch),
        precision_plugin=SimpleNamespace(convert_input=lambda images: images.to(dtype)),
    )


def transferred(data, **options):
    data.trainer = trainer(**options)
    return data.on_after_batch_transfer(data.splits["train"].fetch(torch.arange(32)), 0).inputs


def test_batches_are_normalised_in_every_stage(data):
    raw = data.splits["train"].fetch(torch.arange(32))
    assert raw.inputs.dtype == torch.uint8
    found = transferred(data, training=False)
    torch.testing.assert_close(found, (raw.inputs / 255 - data.spec.mean[0]) / data.spec.std[0])
    data.trainer = None
    assert data.on_after_batch_transfer(raw, 0).inputs.equal(found)


def test_only_training_batches_are_augmented(data):
    plain = transferred(data, training=False)
    assert plain.equal(transferred(data, training=False))
    difference = transferred(data) - plain
    assert 0.9 < difference.std() < 1.1


def test_augmentation_is_drawn_by_seed_batch_and_rank(data):
    drawn = [transferred(data, batch=batch, rank=rank) for batch in range(3) for rank in range(2)]
    data.seed = 6
    drawn.append(transferred(data))
    assert all(not one.equal(other) for i, one in enumerate(drawn) for other in drawn[:i])
    data.seed = 5
    assert transferred(data).equal(drawn[0])


def test_a_network_in_half_precision_gets_half(data):
    assert transferred(data, dtype=torch.bfloat16).dtype == torch.bfloat16
