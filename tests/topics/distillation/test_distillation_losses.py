"""The losses against their definitions in float64, and the factor that keeps gradients at one size."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from tenfold.topics.distillation.losses import hints, soft_targets


def brute_force(student: list[list[float]], teacher: list[list[float]], temperature: float) -> float:
    def softened(logits: list[float]) -> list[float]:
        powers = [math.exp(value / temperature) for value in logits]
        return [power / sum(powers) for power in powers]

    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        total += sum(q * math.log(q / p) for p, q in zip(softened(s), softened(t), strict=True))
    return temperature**2 * total


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
def test_soft_targets_are_the_divergence_from_the_teacher(temperature):
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 7, 5, dtype=torch.float64) * 3
    found = soft_targets(student, teacher, temperature)
    assert float(found) == pytest.approx(brute_force(student.tolist(), teacher.tolist(), temperature), rel=1e-12)
    mean = F.kl_div((student / temperature).log_softmax(1), (teacher / temperature).softmax(1), reduction="batchmean")
    assert float(found) / 7 == pytest.approx(float(temperature**2 * mean), rel=1e-12)


def test_they_are_zero_for_the_teachers_own_logits_up_to_a_constant_and_positive_otherwise():
    teacher = torch.randn(4, 6, dtype=torch.float64)
    assert float(soft_targets(teacher + 3, teacher, 2.0)) == pytest.approx(0, abs=1e-12)
    assert float(soft_targets(teacher.flip(1), teacher, 2.0)) > 0


def test_at_a_high_temperature_the_gradient_is_that_of_centred_logits():
    """Hinton et al., equation 4: (s - t) / classes, whatever T is."""
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 3, 5, dtype=torch.float64)
    student.requires_grad_()
    soft_targets(student, teacher, 1e4).backward()
    centred = (student - student.mean(1, keepdim=True)) - (teacher - teacher.mean(1, keepdim=True))
    torch.testing.assert_close(student.grad, centred.detach() / 5, rtol=1e-3, atol=1e-4)


def test_hints_are_half_the_mean_square_of_each_sample():
    torch.manual_seed(0)
    regressed, guide = torch.randn(2, 3, 4, 2, 2, dtype=torch.float64)
    expected = sum(0.5 * float((regressed[i] - guide[i]).square().sum()) / 16 for i in range(3))
    assert float(hints(regressed, guide)) == pytest.approx(expected, rel=1e-12)
    parts = float(hints(regressed[:1], guide[:1])) + float(hints(regressed[1:], guide[1:]))
    assert parts == pytest.approx(expected, rel=1e-12)
