"""What the contracts of every recipe are put in terms of: a short run, a gradient, answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tenfold.engine.module import TenfoldModule
from tenfold.engine.parts import training_only
from tenfold.engine.request import Request

#: Overrides of a run of two epochs of at most three batches, measured on at most two of a hundred samples.
SHORT = [
    "trainer.max_epochs=2",
    "trainer.limit_train_batches=3",
    "trainer.limit_val_batches=2",
    "trainer.limit_test_batches=2",
    "data.eval_batch_size=100",
    "trainer.log_every_n_steps=1",
    "callbacks.progress=null",
    "threads=1",
]


def gradient(module: TenfoldModule, part: str, micro_batches: list[Any]) -> torch.Tensor:
    """Of one optimized part, as the engine adds it up: each sum over the weight of all micro-batches."""
    module.zero_grad()
    losses, weigh = module.objective(part)
    weights = [weigh(micro) for micro in micro_batches]
    totals = {name: sum(torch.as_tensor(w[name], dtype=torch.float64) for w in weights) for name in weights[0]}
    with training_only(module, part):
        for micro in micro_batches:
            sum(total / totals[name].to(total.device) for name, total in losses(micro).items()).backward()
    return torch.cat([p.grad.flatten() for p in module.get_submodule(part).parameters() if p.grad is not None])


def cast(batch: Any, dtype: torch.dtype) -> Any:
    """The batch with its real numbers in another type."""

    def to(value: Any) -> Any:
        return value.to(dtype) if isinstance(value, torch.Tensor) and value.is_floating_point() else value

    return type(batch)(*map(to, batch)) if isinstance(batch, tuple) else batch.to(dtype)


def answers(module: TenfoldModule, folder: Path) -> list[Any]:
    """To the example, or what a generator makes when it is told nothing but a number."""
    if type(module).predict_inputs is not TenfoldModule.predict_inputs:
        inputs = (value.to(module.device) for value in module.example_inputs())
        return list(module.predict_inputs(*inputs))
    output = folder / module.answer_file if module.answer_file else None
    return list(module.predict(Request(output=output, options=module.options_class(n=2))))
