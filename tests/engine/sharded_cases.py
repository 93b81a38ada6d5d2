"""Trainings in FSDP, in shares of two ranks, that must end like those of one process without it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging

from engine.rank_cases import batch_normalised, case, fitted
from engine.toys import Gan, Regressor, flat, sgd, warmup
from tenfold.engine.accumulation import Stepping
from tenfold.engine.sharding import Sharded


def sharded(make: Callable[[], Any], ranks: int, *data: int, stepping: Stepping | None = None, **trainer: Any) -> dict:
    """In FSDP, gathered block by block and all at once; in one process without it. In float64, to be compared closely.

    The two shardings' runs are one after the other in the weights.
    """
    results = []
    for block in (1, 1_000_000):
        strategy: dict[str, Any] = {} if ranks == 1 else {"strategy": Sharded(block)}
        module = make().double()
        results.append(fitted(module, *data, stepping=stepping, precision="64-true", **strategy, **trainer))
    return results[0] | {"weights": torch.cat([result["weights"] for result in results])}


def adamw() -> dict[str, Any]:
    return {"_target_": "torch.optim.AdamW", "lr": 0.02}


class Held(L.Callback):
    """Numbers that this rank keeps of the weights, and of all that Adam keeps for them."""

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        (optimizer,) = trainer.optimizers
        shares = [*optimizer.state, *(state["exp_avg"] for state in optimizer.state.values())]
        self.numbers = sum(getattr(share, "_local_tensor", share).numel() for share in shares)


@case
def fsdp_odd_batches(ranks: int) -> dict[str, Any]:
    """The last batch has one sample, which one rank goes without."""
    held = Held()
    result = sharded(lambda: Regressor(optimizer=adamw()), ranks, 9, ranks, callbacks=[held])
    return result | {"held": held.numbers}


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
