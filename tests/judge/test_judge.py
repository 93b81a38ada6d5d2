"""The judge looks at pixels as its classifier was trained to, and copies, grids and samples-only training."""

from __future__ import annotations

import warnings

import pytest
import torch
from PIL import Image

from tenfold.data.images.mnist5k import MNIST5k
from tenfold.data.images.spec import ImageSpec
from tenfold.errors import UserError
from tenfold.judge import (
    Judge,
    class_coverage,
    copied_share,
    grid_figure,
    label_agreement,
    nearest_neighbours,
    sample_grid,
    samples_only_accuracy,
    write_grid,
)
from tenfold.topics.classification.module import Classifier
from tenfold.topics.classification.networks import CNN

SPEC = ImageSpec(1, 8, 8, (0.3,), (0.25,), ("a", "b", "c"))


@pytest.fixture
def judge() -> Judge:
    torch.manual_seed(0)
    return Judge(Classifier(SPEC, CNN(1, 8, 3, channels=(4, 6))).eval())


def images(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (n, 1, 8, 8), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def test_it_sees_what_the_classifier_sees_of_the_same_picture(judge):
    whole = images(7)
    seen = judge.look(whole.float() / 255, batch_size=3)
    network = judge.classifier.network
    with torch.no_grad():
        assert torch.allclose(seen.logits, network(SPEC.normalise(whole)), atol=1e-5)
        assert torch.allclose(network.head[-1](seen.features), seen.logits, atol=1e-5)
    assert seen.features.shape == (7, 6)


def test_looking_leaves_nothing_behind(judge):
    judge.look(images(2).float() / 255)
    assert not judge.last_layer._forward_pre_hooks


def test_other_classes_and_sizes_are_refused_in_one_line(judge):
    judge.require(SPEC, {})
    with pytest.raises(UserError, match=r"model.judge: its channels x height x width are \(1, 8, 8\), expected \(1, 9"):
        judge.require(ImageSpec(1, 9, 8, (0.3,), (0.25,), ("a", "b", "c")), {})
    with pytest.raises(UserError, match="model.judge: its classes are"):
        judge.require(ImageSpec(1, 8, 8, (0.3,), (0.25,), ("a", "b", "d")), {})


def test_a_judge_of_another_split_is_warned_of(judge):
    judge.classifier.config = {"data": {"split_seed": 0, "batch_size": 128}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        judge.require(SPEC, {"split_seed": 0, "batch_size": 32})
    with pytest.warns(UserWarning, match=r"another split of the data \(data.split_seed\)"):
        judge.require(SPEC, {"split_seed": 1, "batch_size": 128})


def test_agreement_and_coverage():
    logits = torch.eye(3)[[0, 0, 0, 1, 0]]
    assert label_agreement(logits, torch.tensor([0, 0, 1, 1, 2])) == pytest.approx(0.6)
    coverage = class_coverage(logits)
    assert coverage.classes == 2 and coverage.shares.tolist() == pytest.approx([0.8, 0.2, 0.0])
    assert class_coverage(torch.eye(3)[[0] * 99 + [1]]).classes == 1  # 1 % is not a tenth of a third


def test_neighbours_are_those_of_brute_force():
    train, samples = images(20, 1).double() / 255, images(5, 2).double() / 255
    found = nearest_neighbours(samples, train, batch_size=2)
    brute = ((samples[:, None] - train[None]) ** 2).mean((2, 3, 4)).sqrt()
    assert torch.equal(found.indices, brute.argmin(1))
    assert torch.allclose(found.distance, brute.min(1).values)


def test_copies_are_told_from_new_images():
    train, held_out, fresh = (images(200, seed).float() / 255 for seed in (1, 2, 3))
    assert copied_share(train[:50] + 0.001, train, held_out) == 1
    assert copied_share(fresh, train, held_out) < 0.1


def test_a_classifier_of_samples_learns_what_their_labels_say():
    """Real digits stand in for samples: with their labels they teach, with shuffled ones they do not."""
    data = MNIST5k(batch_size=100)
    data.setup()
    train, test = data.splits["train"].data, data.splits["test"].data
    chosen, mixed = torch.randperm(len(train.labels), generator=torch.Generator().manual_seed(0))[:1200].chunk(2)
    pixels, labels, shuffled = train.inputs[chosen].float() / 255, train.labels[chosen], train.labels[mixed]
    state = torch.get_rng_state()
    good, bad = (
        samples_only_accuracy(
            pixels, taught, test.inputs[::4].float() / 255, test.labels[::4], seed=1, epochs=3, batch_size=32
        )
        for taught in (labels, shuffled)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert good > 0.7 > 0.4 > bad


def test_a_grid_holds_each_image_where_it_belongs(tmp_path):
    pixels = images(5).float() / 255
    grid = sample_grid(pixels, columns=3, margin=1)
    assert grid.shape == (20, 30, 1) and grid.dtype == torch.uint8
    assert torch.equal(grid[11:19, 1:9, 0], images(5)[3, 0])
    assert (grid[10:, 20:] == 255).all()  # no sixth image
    write_grid(pixels, tmp_path / "samples.png", columns=3)
    with Image.open(tmp_path / "samples.png") as written:
        assert written.size == (36, 24)
    assert [path.name for path in tmp_path.iterdir()] == ["samples.png"]
    with pytest.raises(UserError, match="output: .* cannot be written"):
        write_grid(pixels, tmp_path / "nowhere" / "samples.png")


def test_a_grid_is_drawn_in_colour_and_grey():
    for channels in (1, 3):
        assert grid_figure(images(4).expand(-1, channels, -1, -1).float() / 255, "four").axes
