import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from tenfold.topics.conditional_generation.flow_sampling import guided, integrate


def _exact(x, time):
    r"""From N(0, 1) to N(m, s²) along straight lines: (1 - t) x_0 + t x_1 is normal, and the mean of x_1 - x_0 given it
    is linear in it."""
    mean, deviation = 3.0, 0.5
    time = time.view(-1, 1)
    variance = (1 - time) ** 2 + (time * deviation) ** 2
    return mean + (time * deviation**2 - (1 - time)) / variance * (x - time * mean)


def test_the_flow_of_two_gaussians_carries_each_point_to_its_place():
    noise = torch.linspace(-3, 3, 41, dtype=torch.float64).unsqueeze(1)
    torch.testing.assert_close(integrate(_exact, noise, 200), 3 + 0.5 * noise, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2)])
def test_a_solvers_error_falls_by_its_order(solver, order):
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64).unsqueeze(1)
    errors = [
        float((integrate(_exact, noise, steps, solver) - (3 + 0.5 * noise)).abs().max()) for steps in (32, 64, 128)
    ]
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(order, abs=0.25)


def test_flow_matching_learns_that_velocity():
    """The loss has its least value at the mean of x_1 - x_0 given x_t, here known: fitted, and compared."""
    generator = torch.Generator().manual_seed(0)
    size = 200_000
    x_0, x_1 = (torch.randn(size, 1, generator=generator, dtype=torch.float64) for _ in range(2))
    x_1 = 3 + 0.5 * x_1
    for moment in (0.2, 0.5, 0.9):
        time = torch.full((size,), moment, dtype=torch.float64)
        x_t = (1 - moment) * x_0 + moment * x_1
        inputs = torch.cat([torch.ones_like(x_t), x_t], dim=1)
        fitted = inputs @ torch.linalg.lstsq(inputs, x_1 - x_0).solution
        assert float((fitted - _exact(x_t, time)).square().mean().sqrt()) < 0.01


class _Network(nn.Module):
    def forward(self, x, time, labels):
        self.size = len(x)
        return x * labels.view(-1, 1) + time.view(-1, 1)


def test_guidance_of_one_is_the_conditional_model_and_of_none_the_other():
    network, labels, x = _Network(), torch.tensor([1, 2]), torch.ones(2, 1)
    time = torch.full((2,), 0.25)
    conditional, empty = network(x, time, labels), network(x, time, torch.full((2,), 10))
    torch.testing.assert_close(guided(network, labels, 10, 1.0)(x, time), conditional)
    torch.testing.assert_close(guided(network, labels, 10, 0.0)(x, time), empty)
    assert network.size == 2  # one model was asked, not both
    torch.testing.assert_close(guided(network, labels, 10, 3.0)(x, time), empty + 3 * (conditional - empty))
    torch.testing.assert_close(guided(network, labels, 10, 1.0 + 1e-9)(x, time), conditional)
