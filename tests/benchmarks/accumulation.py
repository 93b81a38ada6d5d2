"""What exactness costs: the engine's step in micro-batches over Lightning's own `accumulate_grad_batches`.

The same CNN, images, optimizer and micro-batches, one thread, no logger and no progress bar on either side; the two
take turns.
"""

from __future__ import annotations

import statistics
import time

import lightning as L
import torch
from harness import table
from torch.nn import functional as F
from torch.utils.data import DataLoader

from tenfold.config.compose import compose, to_plain
from tenfold.engine.build import build_data, build_module, build_trainer

BATCH, STEPS, ROUNDS = 128, 20, 7


class Clock(L.Callback):
    """Seconds of the training loop, its start and end left out."""

    def on_train_start(self, trainer, pl_module):
        self.started = time.perf_counter()

    def on_train_end(self, trainer, pl_module):
        self.seconds = time.perf_counter() - self.started


class Plain(L.LightningModule):
    """The same network as Lightning's users write it: the mean of each micro-batch."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        return F.cross_entropy(self.network(inputs), labels)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


def settings(parts: int) -> dict:
    overrides = [
        "experiment=classification/mnist5k",
        "optimizer=sgd",
        "optimizer.lr=0.01",
        "optimizer.momentum=0",
        "optimizer.nesterov=false",
        "optimizer.weight_decay=0",
        "scheduler=constant",
        "model.label_smoothing=0",
        f"data.batch_size={BATCH}",
        "data.augment=null",
        f"trainer.accumulate_grad_batches={parts}",
        f"trainer.max_steps={STEPS}",
        "trainer.accelerator=cpu",
        "trainer.limit_val_batches=0",
        "callbacks=[]",
        "logger=none",
        "+trainer.enable_checkpointing=false",
        "folder=run",
    ]
    return to_plain(compose("train", overrides))


def ours(config: dict) -> float:
    data = build_data(config)
    data.setup()
    module = build_module(config, data.spec)
    trainer = build_trainer(config, ".")
    trainer.callbacks.append(clock := Clock())
    trainer.fit(module, datamodule=data)
    return clock.seconds / STEPS


def lightnings(config: dict, parts: int) -> float:
    data = build_data(config)
    data.setup()
    batch = data.sample("train", BATCH)
    micro = list(zip(batch.inputs.split(BATCH // parts), batch.labels.split(BATCH // parts), strict=True))
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=STEPS,
        accumulate_grad_batches=parts,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[clock := Clock()],
    )
    module = Plain(build_module(config, data.spec).network)
    trainer.fit(module, DataLoader(micro * STEPS, batch_size=None))
    return clock.seconds / STEPS


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for parts in (1, 4, 16):
        config = settings(parts)
        times: dict[str, list[float]] = {"ours": [], "lightning": []}
        for counted in [False] + [True] * ROUNDS:
            pair = {"ours": ours(config), "lightning": lightnings(config, parts)}
            for name, seconds in pair.items() if counted else ():
                times[name].append(seconds)
        a, b = (statistics.median(values) for values in times.values())
        ratios = [x / y for x, y in zip(*times.values(), strict=True)]
        rows.append((parts, f"{a * 1e3:.1f}", f"{b * 1e3:.1f}", f"{statistics.median(ratios):.3f}"))
    print(table(["micro-batches", "Tenfold, ms a step", "Lightning, ms a step", "ratio (median of pairs)"], rows))


if __name__ == "__main__":
    main()
