"""Trainings that must end alike in one process and in two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from torch import nn

from engine.toys import (
    Gan,
    Regressor,
    ToyData,
    draw_weights,
    flat,
    lightnings_gradient,
    sequences,
    sgd,
    train,
    warmup,
)
from tenfold.engine.accumulation import Stepping
from tenfold.engine.batch import cut
from tenfold.engine.gather import Gathered
from tenfold.errors import UserError

CASES: dict[str, Callable[[int], dict[str, Any]]] = {}


def case(function: Callable[[int], dict[str, Any]]) -> Callable[[int], dict[str, Any]]:
    CASES[function.__name__] = function
    return function


def fitted(
    module, samples: int, ranks: int, batch_size: int = 4, stepping: Stepping | None = None, **trainer
) -> dict[str, Any]:
    parts = len(module.optimized)
    strategy = "auto" if ranks == 1 else "ddp" if parts == 1 else "ddp_find_unused_parameters_true"
    arguments = {"devices": ranks, "strategy": strategy, "max_epochs": 2, "log_every_n_steps": 1} | trainer
    done = train(module, ToyData(samples, batch_size), stepping=stepping, **arguments)
    metrics = {name: float(value) for name, value in done.callback_metrics.items()}
    return {"weights": flat(module), "steps": done.global_step, "metrics": metrics, "logged": module.journal.latest}


@case
def odd_last_batch(ranks: int) -> dict[str, Any]:
    return fitted(Regressor(), 11, ranks)


@case
def a_rank_without_a_sample(ranks: int) -> dict[str, Any]:
    return fitted(Regressor(), 9, ranks)


class Noisy(Regressor):
    """Sees its inputs through noise that belongs to the batch."""

    def draw(self, batch, draws):
        return batch._replace(inputs=batch.inputs + draws.normal(*batch.inputs.shape[1:]))


@case
def noise_of_the_batch(ranks: int) -> dict[str, Any]:
    return fitted(Noisy(), 11, ranks, stepping=Stepping(micro_batch_size=1))


@case
def micro_batches(ranks: int) -> dict[str, Any]:
    reductions = Reductions()
    result = fitted(Regressor(), 9, ranks, 8, Stepping(micro_batch_size=1), callbacks=[reductions])
    return result | {"reductions": reductions.count}


@case
def clipped(ranks: int) -> dict[str, Any]:
    return fitted(Regressor(scheduler=warmup()), 11, ranks, 8, Stepping(micro_batch_size=3, gradient_clip_val=0.05))


@case
def auto_with_a_budget_on_one_rank(ranks: int) -> dict[str, Any]:
    small = 0.0006 if torch.distributed.is_initialized() and torch.distributed.get_rank() == 1 else None
    module = Regressor()
    result = fitted(module, 11, ranks, 8, Stepping(micro_batch_size="auto", memory_budget=small))
    return result | {"chosen": module.accumulation.chosen}


@case
def two_optimizers(ranks: int) -> dict[str, Any]:
    return fitted(Gan(), 9, ranks, 4, Stepping(micro_batch_size=1))


@case
def two_optimizers_auto(ranks: int) -> dict[str, Any]:
    small = 0.0006 if torch.distributed.is_initialized() and torch.distributed.get_rank() == 1 else None
    return fitted(Gan(), 9, ranks, 8, Stepping(micro_batch_size="auto", memory_budget=small))


def batch_normalised() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(4, 1))  # the 5 steps are the channels


@case
def batch_norm_over_the_whole_batch(ranks: int) -> dict[str, Any]:
    """Whose gradient depends on the cut, which is another in one process; at a rate of zero the statistics compare."""
    module = Regressor(batch_normalised(), optimizer=sgd(lr=0.0))
    result = fitted(module, 10, ranks, 5, Stepping(micro_batch_size=2, batch_norm="whole"))
    del result["logged"]["train/grad_norm"]
    return result | {"buffers": flat(module.network.buffers())}


@case
def batch_norm_with_exact_gradients(ranks: int) -> dict[str, Any]:
    """Shares of 3 and 2 samples in micro-batches, and a last batch of one sample: the second rank has none."""
    module = Regressor(batch_normalised())
    result = fitted(module, 11, ranks, 5, Stepping(micro_batch_size=2, batch_norm="exact"))
    return result | {"buffers": flat(module.network.buffers())}


@case
def batch_norm_exact_in_two_optimizers(ranks: int) -> dict[str, Any]:
    gan = Gan()
    gan.generator = batch_normalised()
    result = fitted(gan, 9, ranks, 4, Stepping(micro_batch_size=1, batch_norm="exact"))
    return result | {"buffers": flat(gan.generator.buffers())}


@case
def gradients_beside_lightnings(ranks: int) -> dict[str, Any]:
    """One gradient of a batch in micro-batches: the engine's, and Lightning's own."""
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0

    class Watched(Regressor):
        def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
            self.gradient = flat([p.grad for p in self.parameters()])

    module, batch = Watched(), sequences(8)
    fitted(module, 8, ranks, 8, Stepping(micro_batch_size=2), max_epochs=1)
    draw_weights(module, seed=1)
    micro_batches = cut(batch, [2] * 4)[rank::ranks]
    strategy = {} if ranks == 1 else {"devices": ranks, "strategy": "ddp"}
    lightnings = lightnings_gradient(module, micro_batches, len(micro_batches), **strategy)
    return {"weights": module.gradient, "lightnings": flat(lightnings), "steps": 1, "metrics": {}, "logged": {}}


@case
def an_unused_head(ranks: int) -> dict[str, Any]:
    """A part of the network that only some samples go through; whole micro-batches do without it."""

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.head, self.never = nn.Linear(3, 1), nn.Linear(3, 1), nn.Linear(3, 1)

        def forward(self, x):
            positive = x[:, 0, 0] > 0
            y = self.trunk(x)
            return y + torch.where(positive[:, None, None], self.head(x), 0.0) if positive.any() else y

    strategy = {} if ranks == 1 else {"strategy": "ddp_find_unused_parameters_true"}
    return fitted(Regressor(Gated()), 11, ranks, 8, Stepping(micro_batch_size=1), **strategy)


@case
def outputs_in_the_order_of_the_split(ranks: int) -> dict[str, Any]:
    class Collecting(Regressor):
        def evaluate(self, batch, stage):
            vars(self).setdefault("gathered", Gathered()).add(batch.inputs)
            return super().evaluate(batch, stage)

        def measure(self, stage):
            (self.order,) = self.gathered.all()
            vars(self)["gathered"] = Gathered()
            return {}

    module = Collecting()
    return fitted(module, 35, ranks) | {"order": module.order}


@case
def a_loss_that_is_not_finite_on_the_last_rank(ranks: int) -> dict[str, Any]:
    class Broken(Regressor):
        def losses(self, batch):
            bad = self.trainer.global_step == 2 and self.trainer.global_rank == ranks - 1
            return {name: total * (float("nan") if bad else 1.0) for name, total in super().losses(batch).items()}

    try:
        fitted(Broken(), 16, ranks, log_every_n_steps=5)
    except UserError as error:
        return {"error": str(error)}
    return {}


class Reductions(L.Callback):
    """Counts how often DDP sums a bucket of gradients over the ranks."""

    count = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        def hook(_, bucket):
            self.count += 1
            mean = torch.distributed.all_reduce(bucket.buffer().div_(trainer.world_size), async_op=True).get_future()
            return mean.then(lambda future: future.value()[0])

        if trainer.world_size > 1:
            trainer.strategy.model.register_comm_hook(None, hook)
