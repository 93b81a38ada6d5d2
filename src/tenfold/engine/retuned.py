"""Values that a person has changed before a run goes on: a checkpoint would silently put its own back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import EarlyStopping

from tenfold.engine.optimization import build_optimizer
from tenfold.engine.parts import part_of

if TYPE_CHECKING:
    from tenfold.engine.module import TenfoldModule


def retune(checkpoint: Mapping[str, Any], former: Mapping[str, Any], module: TenfoldModule) -> None:
    """Put into `checkpoint`, of a run with the config `former`, what `module.config` says otherwise: the optimizers'
    values, and the patience of early stopping."""
    for callback in module.trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, EarlyStopping) and callback.state_key in checkpoint.get("callbacks", {}):
            checkpoint["callbacks"][callback.state_key]["patience"] = callback.patience
    configs = former.get("optimizer"), module.config.get("optimizer")
    if None in configs or configs[0] == configs[1]:
        return
    states, schedules = checkpoint.get("optimizer_states", []), checkpoint.get("lr_schedulers", [])
    for index, (name, state) in enumerate(zip(module.optimized, states)):
        network = module.get_submodule(name)
        before, now = (build_optimizer(part_of(config, name), network).param_groups for config in configs)  # type: ignore[arg-type]
        factors = [_retune_group(*groups) for groups in zip(state["param_groups"], before, now, strict=True)]
        if len(schedules) == len(states):
            for key in {"base_lrs", "_last_lr"} & schedules[index].keys():
                rates = schedules[index][key]
                schedules[index][key] = [rate * factor for rate, factor in zip(rates, factors, strict=True)]


def _retune_group(saved: dict[str, Any], before: Mapping[str, Any], now: Mapping[str, Any]) -> float:
    """Give the saved group what has changed; the factor of its learning rate, which a schedule may have moved since."""
    for key in now.keys() - {"params", "lr"}:
        if now[key] != before.get(key):
            saved[key] = now[key]
    factor = now["lr"] / before["lr"] if before["lr"] else 1.0
    for key in {"lr", "initial_lr"} & saved.keys():
        saved[key] *= factor
    return factor
