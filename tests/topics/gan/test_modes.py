"""Counting modes, and the data whose modes are counted."""

from __future__ import annotations

import math

import pytest
import torch

from tenfold.errors import UserError
from tenfold.topics.gan.data import Gaussians25
from tenfold.topics.gan.modes import mode_metrics

CENTRES = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])


def around(counts: list[int]) -> torch.Tensor:
    modes = CENTRES.repeat_interleave(torch.tensor(counts), 0)
    return modes + 0.05 * torch.randn(len(modes), 2, generator=torch.Generator().manual_seed(0))


def test_real_points_are_as_good_as_the_normal_distribution_says():
    found = mode_metrics(around([5000] * 4), CENTRES, 0.05)
    assert found["good"] == pytest.approx(1 - math.exp(-4.5), abs=0.003)
    assert found["modes"] == 4 and found["divergence"] < 1e-4


def test_the_rules_at_their_borders():
    """Good is within three deviations, in Euclidean distance; a mode needs a tenth of its fair share."""
    points = torch.tensor([[0.149, 0.0], [0.151, 0.0], [0.11, 0.11], [2.0, 2.149]])
    assert mode_metrics(points, CENTRES, 0.05)["good"] == 0.5
    ninth, tenth = CENTRES[[0] * 391 + [1] * 9], CENTRES[[0] * 390 + [1] * 10]
    assert mode_metrics(ninth, CENTRES, 0.05)["modes"] == 1
    assert mode_metrics(tenth, CENTRES, 0.05)["modes"] == 2


def test_the_divergence_tells_of_lost_modes_where_the_good_share_does_not():
    whole, lost = (mode_metrics(around(counts), CENTRES, 0.05) for counts in ([1000] * 4, [2000, 2000, 0, 0]))
    assert lost["good"] == pytest.approx(whole["good"], abs=0.01)
    assert lost["divergence"] > 0.2 > 0.001 > whole["divergence"]
    bad = mode_metrics(torch.full((100, 2), 9.0), CENTRES, 0.05)
    assert bad["divergence"] == pytest.approx(math.log(2), abs=0.05) and bad["modes"] == 0


def test_the_data_are_what_the_spec_says():
    data = Gaussians25(samples=20_000, batch_size=100)
    data.setup()
    spec, points = data.spec, data.splits["train"].data
    assert len(spec.centres) == 25 and len(data.splits["val"]) == len(data.splits["test"]) == 2000
    unscaled = points.inputs * spec.scale
    assert unscaled.std().item() == pytest.approx(spec.scale, rel=0.01)
    found = mode_metrics(unscaled, torch.tensor(spec.centres), spec.deviation)
    assert found["modes"] == 25 and found["good"] == pytest.approx(0.989, abs=0.003)
    assert torch.equal(torch.cdist(unscaled, torch.tensor(spec.centres)).argmin(1), points.labels)
    assert data.baseline("test")["good"] < 0.1
    again = Gaussians25(samples=20_000, batch_size=100, seed=5)
    again.setup()
    assert torch.equal(again.splits["test"].data.inputs, data.splits["test"].data.inputs)


@pytest.mark.parametrize(("key", "value"), [("samples", 10), ("deviation", 0.5), ("deviation", 0.0)])
def test_data_that_make_no_sense_are_refused(key, value):
    with pytest.raises(UserError, match=f"data.{key}: found {value}, expected"):
        Gaussians25(**{key: value}, batch_size=100)
