"""Optimizers and schedulers from their configs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from tenfold.config.instantiate import instantiate, signature_of
from tenfold.errors import UserError


def parameter_groups(network: nn.Module) -> list[dict[str, Any]]:
    """Two groups: matrices and kernels, which weight decay shrinks, and vectors (norms, biases), which it must not."""
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trainable if parameter.ndim >= 2]
    others = [parameter for parameter in trainable if parameter.ndim < 2]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def build_optimizer(config: Mapping[str, Any], network: nn.Module) -> Optimizer:
    return instantiate(config, parameter_groups(network))


def build_scheduler(
    config: Mapping[str, Any] | None, optimizer: Optimizer, total_steps: float, better: Literal["max", "min"] = "max"
) -> LRScheduler | None:
    """The scheduler; those that want the number of optimizer steps by the name `total_steps` are told it, and where
    `mode` is null which way the module's first validation metric is better.

    `interval` in the config says when it steps: "step" (the default) after each optimizer step, "epoch" after each
    validation; `ReduceLROnPlateau` always steps on the validation metric that the module is chosen by.
    """
    if config is None:
        return None
    arguments = {key: value for key, value in config.items() if key != "interval"}
    supplied = {"total_steps": total_steps} if "total_steps" in signature_of(config["_target_"]) else {}
    supplied = {key: value for key, value in supplied.items() if key not in arguments}
    if "mode" in arguments and arguments["mode"] is None:
        arguments["mode"] = better
    return instantiate(arguments, optimizer, **supplied)


class Schedulers:
    """The scheduler of each optimizer, or None, by its config; each steps when its `interval` says."""

    def __init__(
        self,
        configs: Sequence[Mapping[str, Any] | None],
        optimizers: Sequence[Optimizer],
        total_steps: float,
        better: Literal["max", "min"],
        validates: bool = True,
    ) -> None:
        self.each = [
            build_scheduler(config, optimizer, total_steps, better)
            for config, optimizer in zip(configs, optimizers, strict=True)
        ]
        if not validates and any(isinstance(scheduler, ReduceLROnPlateau) for scheduler in self.each):
            raise UserError("scheduler: ReduceLROnPlateau follows a validation metric, but nothing is validated")
        self._intervals = [config and config.get("interval", "step") for config in configs]

    @property
    def present(self) -> list[LRScheduler]:
        return [scheduler for scheduler in self.each if scheduler is not None]

    def step_done(self, index: int) -> None:
        """The optimizer at `index` has made a step."""
        scheduler = self.each[index]
        if scheduler is not None and self._intervals[index] == "step" and not isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step()

    def epoch_done(self, score: float | None) -> None:
        """After a validation, whose `score` chooses the checkpoint, or after an epoch where there is none (None)."""
        for scheduler, interval in zip(self.each, self._intervals, strict=True):
            if isinstance(scheduler, ReduceLROnPlateau):
                assert score is not None  # there are validations
                scheduler.step(score)
            elif scheduler is not None and interval == "epoch":
                scheduler.step()
