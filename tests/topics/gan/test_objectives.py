"""The losses and penalties of the two players against float64 brute force."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from tenfold.topics.gan import objectives


@pytest.fixture
def critic() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)).double()


def points(n: int, seed: int) -> torch.Tensor:
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slopes(critic: nn.Module, inputs: torch.Tensor, step: float = 1e-5) -> torch.Tensor:
    """Squared norms of the gradient at each input, by differences."""
    columns = []
    for axis in torch.eye(3, dtype=torch.float64) * step:
        columns.append((critic(inputs + axis) - critic(inputs - axis)) / (2 * step))
    return torch.stack(columns, 1).square().sum(1)


def test_penalties_are_those_of_differences(critic):
    x = points(6, 1)
    squared = slopes(critic, x)
    assert torch.allclose(objectives.zero_centred_penalty(critic, x), squared.sum() / 2, rtol=1e-7)
    expected = (squared.sqrt() - 1).square().sum()
    assert torch.allclose(objectives.one_centred_penalty(critic, x), expected, rtol=1e-7)


def test_a_penalty_has_the_gradient_of_its_differences(critic):
    """With respect to a weight: the second derivative is there."""
    x, weight = points(4, 2), critic[0].weight
    objectives.zero_centred_penalty(critic, x).backward()
    found, step = weight.grad[2, 1].item(), 1e-5
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[2, 1] += sign * step
        values.append(objectives.zero_centred_penalty(critic, x).item())
        with torch.no_grad():
            weight[2, 1] -= sign * step
    assert found == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-6)


def test_a_flat_critic_has_a_finite_gradient():
    critic = nn.Sequential(nn.Linear(3, 1), nn.Flatten(0)).double()
    nn.init.zeros_(critic[0].weight)
    penalty = objectives.one_centred_penalty(critic, points(3, 3))
    penalty.backward()
    assert penalty.item() == pytest.approx(3, rel=1e-5) and critic[0].weight.grad.isfinite().all()


@pytest.mark.parametrize("game", ["non_saturating", "relativistic", "wasserstein"])
def test_losses_fall_when_each_player_does_better(game):
    real, fake = points(5, 4)[:, 0], points(5, 5)[:, 0]
    assert objectives.discriminator_loss(game, real + 1, fake) < objectives.discriminator_loss(game, real, fake)
    assert objectives.discriminator_loss(game, real, fake - 1) < objectives.discriminator_loss(game, real, fake)
    assert objectives.generator_loss(game, real, fake + 1) < objectives.generator_loss(game, real, fake)


def test_the_non_saturating_losses_are_cross_entropies():
    real, fake = points(5, 6)[:, 0], points(5, 7)[:, 0]
    entropy = -(real.sigmoid().log() + (1 - fake.sigmoid()).log()).sum()
    assert torch.allclose(objectives.discriminator_loss("non_saturating", real, fake), entropy)
    assert torch.allclose(objectives.generator_loss("non_saturating", None, fake), -fake.sigmoid().log().sum())
    assert torch.allclose(objectives.discriminator_loss("relativistic", real, fake), softplus(fake - real).sum())
    assert objectives.discriminator_loss("wasserstein", real, fake) == (fake - real).sum()


def test_an_image_is_moved_by_whole_pixels_and_black_comes_in():
    images = torch.rand(3, 2, 5, 6, generator=torch.Generator().manual_seed(0)) + 1
    moved = objectives.translated(images, torch.tensor([[3, 2], [0, 4], [2, 2]]), reach=2)
    assert torch.equal(moved[2], images[2])
    assert torch.equal(moved[0, :, 1:], images[0, :, :-1]) and (moved[0, :, 0] == 0).all()
    assert torch.equal(moved[1, :, :-2, 2:], images[1, :, 2:, :-2])
    assert (moved[1, :, -2:] == 0).all() and (moved[1, :, :, :2] == 0).all()


def test_points_between_lie_on_the_line():
    real, fake, mix = torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2), torch.tensor([0.25, 1.0])
    assert objectives.between(real, fake, mix).flatten(1).tolist() == [[0.25] * 4, [1.0] * 4]
