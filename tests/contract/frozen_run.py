"""A few exact optimizer steps of a recipe, in this process or in one of several: `python -m contract.frozen_run OUT
JOBS`.

What a partition of the batch may change is left out: dropout draws, BatchNorm's statistics (both off in evaluation
mode) and augmentation. What remains must come out the same however a batch is shared.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import lightning as L
import torch

from tenfold.config.compose import compose, to_plain
from tenfold.engine.build import build_data, build_trainer, build_whole


class Frozen(L.Callback):
    """Training in evaluation mode."""

    def on_train_epoch_start(self, trainer, pl_module):
        pl_module.eval()


def weights_after(overrides: list[str], folder: Path) -> torch.Tensor:
    """The primary part's weights, float64, after four optimizer steps of SGD, some on a short batch."""
    config = to_plain(compose("train", [*overrides, *_plainest(overrides), f"folder={folder}"]))
    config["data"].pop("augment", None)
    torch.manual_seed(0)
    data = build_data(config)
    data.setup()
    torch.manual_seed(0)
    module = build_whole(config, data)
    trainer = build_trainer(config, folder)
    trainer.callbacks.append(Frozen())
    trainer.fit(module, datamodule=data)
    primary = module.get_submodule(module.optimized[0])
    return torch.cat([parameter.detach().flatten() for parameter in primary.parameters()])


def _plainest(overrides: list[str]) -> list[str]:
    return [
        "optimizer=sgd",
        "optimizer.lr=0.01",
        "scheduler=constant",
        "data.batch_size=48",
        "data.last_batch=short",
        "trainer.max_steps=4",
        "trainer.max_epochs=-1",
        "trainer.precision=64-true",
        "trainer.accelerator=cpu",
        "trainer.limit_val_batches=0",
        "callbacks=[]",
        "logger=none",
    ]


def main() -> None:
    out, jobs = Path(sys.argv[1]), json.loads(sys.argv[2])
    torch.set_num_threads(1)
    for name, overrides in jobs.items():
        weights = weights_after(overrides, out)
        torch.save(weights, out / f"{name.replace('/', '.')}.rank{torch.distributed.get_rank()}.pt")


if __name__ == "__main__":
    main()
