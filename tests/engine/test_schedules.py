"""Schedules against their formula and torch's; parameter groups against what decay is for."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from tenfold.engine.optimization import build_optimizer, build_scheduler, parameter_groups
from tenfold.engine.schedules import warmup_decay
from tenfold.errors import UserError


def rates(make, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
    scheduler: LRScheduler = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_warmup_then_linear_fall():
    found = rates(lambda o: warmup_decay(o, total_steps=10, warmup=4, decay="linear", final=0.1), 11)
    rise = [0.4 * k / 5 for k in (1, 2, 3, 4)]
    fall = [0.4 * (0.1 + 0.9 * (1 - k / 6)) for k in range(7)]
    assert found == pytest.approx(rise + fall)


def test_without_warmup_cosine_is_torchs():
    ours = rates(lambda o: warmup_decay(o, total_steps=20), 20)
    assert ours == pytest.approx(rates(lambda o: CosineAnnealingLR(o, T_max=20), 20))


@pytest.mark.parametrize("decay, strategy", [("cosine", "cos"), ("linear", "linear")])
def test_the_fall_after_warmup_is_that_of_one_cycle(decay, strategy):
    total, rise = 40, 10  # torch's cycle peaks at step pct * total - 1 and ends at step total - 1
    torchs = rates(
        lambda o: OneCycleLR(
            o, 0.4, total_steps=total, pct_start=rise / total, anneal_strategy=strategy, final_div_factor=1e9
        ),
        total,
    )
    ours = rates(lambda o: warmup_decay(o, total_steps=total - 1, warmup=rise - 1, decay=decay), total)
    assert ours[rise - 1 :] == pytest.approx(torchs[rise - 1 :], abs=1e-8)


def test_a_fraction_is_of_all_steps_and_constant_needs_no_end():
    assert rates(lambda o: warmup_decay(o, 20, warmup=0.25), 9) == rates(lambda o: warmup_decay(o, 20, warmup=5), 9)
    found = rates(lambda o: warmup_decay(o, float("inf"), warmup=2, decay="constant"), 5)
    assert found == pytest.approx([0.4 / 3, 0.8 / 3, 0.4, 0.4, 0.4])


def test_what_cannot_be_is_told():
    with pytest.raises(UserError, match=r"scheduler.decay: found 'cubic'"):
        rates(lambda o: warmup_decay(o, 20, decay="cubic"), 1)
    with pytest.raises(UserError, match="needs an end"):
        rates(lambda o: warmup_decay(o, float("inf")), 1)


def test_total_steps_are_told_to_whom_wants_them():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
    cycle = {"_target_": "torch.optim.lr_scheduler.OneCycleLR", "max_lr": 0.4}
    assert build_scheduler(cycle, optimizer, 30).total_steps == 30
    assert build_scheduler(cycle | {"total_steps": 7}, optimizer, 30).total_steps == 7
    step = {"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 3, "interval": "epoch"}
    assert build_scheduler(step, optimizer, 30).step_size == 3
    assert build_scheduler(None, optimizer, 30) is None


def test_a_plateau_is_of_the_modules_metric_unless_told_otherwise():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
    plateau = {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau"}
    assert build_scheduler(plateau | {"mode": None}, optimizer, 30, "max").mode == "max"
    assert build_scheduler(plateau | {"mode": None}, optimizer, 30, "min").mode == "min"
    assert build_scheduler(plateau | {"mode": "max"}, optimizer, 30, "min").mode == "max"


def test_norms_biases_and_frozen_parameters_are_not_decayed():
    network = nn.Sequential(nn.Embedding(5, 4), nn.LayerNorm(4), nn.Conv1d(4, 3, 2), nn.BatchNorm1d(3), nn.Linear(3, 2))
    network[4].requires_grad_(False)
    groups = parameter_groups(network)
    assert {id(p) for p in groups[0]["params"]} == {id(network[0].weight), id(network[2].weight)}
    vectors = [network[1].weight, network[1].bias, network[2].bias, network[3].weight, network[3].bias]
    assert {id(p) for p in groups[1]["params"]} == {id(p) for p in vectors} and groups[1]["weight_decay"] == 0.0
    optimizer = build_optimizer({"_target_": "torch.optim.AdamW", "lr": 0.1, "weight_decay": 0.3}, network)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]
