"""Trainings that must end alike in one process and in two; as a program, one of two gloo ranks that run them all."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
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
from tenfold.engine.sharding import Sharded
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


def sharded(make: Callable[[], Any], ranks: int, *data: int, stepping: Stepping | None = None, **trainer: Any) -> dict:
    """In FSDP, gathered block by block and all at once; in one process without it. In float64, to be compared closely.

    The two shardings' runs are one after the other in the weights.
    """
    results = []
    for block in (1, 1_000_000):
        strategy = {} if ranks == 1 else {"strategy": Sharded(block)}
        module = make().double()
        results.append(fitted(module, *data, stepping=stepping, precision="64-true", **strategy, **trainer))
    return results[0] | {"weights": torch.cat([result["weights"] for result in results])}


def adamw() -> dict[str, Any]:
    return {"_target_": "torch.optim.AdamW", "lr": 0.02}


@case
def fsdp_odd_batches(ranks: int) -> dict[str, Any]:
    """The last batch has one sample, which one rank goes without."""
    return sharded(lambda: Regressor(optimizer=adamw()), ranks, 9, ranks)


@case
def fsdp_micro_batches(ranks: int) -> dict[str, Any]:
    """Shares of five and of four samples: one rank computes one micro-batch more."""
    return sharded(Regressor, ranks, 9, ranks, 9, stepping=Stepping(micro_batch_size=1))


@case
def fsdp_clipped(ranks: int) -> dict[str, Any]:
    stepping = Stepping(micro_batch_size=3, gradient_clip_val=0.05)
    return sharded(lambda: Regressor(optimizer=adamw(), scheduler=warmup()), ranks, 11, ranks, 8, stepping=stepping)


@case
def fsdp_clipped_by_value(ranks: int) -> dict[str, Any]:
    stepping = Stepping(gradient_clip_val=0.05, gradient_clip_algorithm="value")
    return sharded(Regressor, ranks, 11, ranks, 8, stepping=stepping)


@case
def fsdp_two_optimizers(ranks: int) -> dict[str, Any]:
    return sharded(lambda: Gan(batches_each=2), ranks, 9, ranks, 4, stepping=Stepping(micro_batch_size=1))


@case
def fsdp_averaged(ranks: int) -> dict[str, Any]:
    """Validated by the average, which the run ends with."""
    return sharded(Gan, ranks, 9, ranks, 4, callbacks=[EMAWeightAveraging(decay=0.8)])


@case
def fsdp_batch_norm(ranks: int) -> dict[str, Any]:
    """As `batch_norm_over_the_whole_batch`, but the gradient's norm, which depends on the cut, is of no matter."""
    make = partial(Regressor, batch_normalised(), optimizer=sgd(lr=0.0))
    result = sharded(make, ranks, 10, ranks, 5, stepping=Stepping(micro_batch_size=2, batch_norm="whole"))
    del result["logged"]["train/grad_norm"]
    return result


@case
def fsdp_resumed(ranks: int) -> dict[str, Any]:
    """Two epochs, and from their checkpoint, which is that of one process in every respect, two more."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "last.ckpt"
        saved = [str(path)]
        if ranks > 1:
            torch.distributed.broadcast_object_list(saved, src=0)

        class Saving(L.Callback):
            def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
                if trainer.current_epoch == 1:
                    trainer.save_checkpoint(saved[0])

        sharded(lambda: Regressor(optimizer=adamw()), ranks, 11, ranks, callbacks=[Saving()])
        checkpoint = torch.load(saved[0], weights_only=True)
        resumed = partial(sharded, lambda: Regressor(optimizer=adamw()), ranks, 11, ranks)
        result = resumed(max_epochs=4, ckpt_path=saved[0])
        if ranks > 1:
            torch.distributed.barrier()
    states = checkpoint["optimizer_states"][0]["state"]
    kept = [states[index][name] for index in states for name in ("exp_avg", "exp_avg_sq")]
    assert all(type(value) is torch.Tensor for value in (*kept, *checkpoint["state_dict"].values()))
    saved_weights = flat([*checkpoint["state_dict"].values(), *kept])
    return result | {"weights": torch.cat([result["weights"], saved_weights])}


def main(folder: Path, rank: int) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    for name, run in CASES.items():
        torch.save(run(2), folder / f"{name}-{rank}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
