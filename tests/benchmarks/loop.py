"""What the training loop costs above a hand-written one, recipe by recipe.

    python tests/benchmarks/loop.py [recipe ... | all]

Both loops have the same network, batches, augmentation, loss, optimizer and schedule, and one thread. Ours is the
Trainer of `tenfold train`, with progress bar and TensorBoard. They take turns epoch by epoch: the table shows the
median of an epoch's time by its steps, validation left out. Then the time from a fresh interpreter to the end of the
first step, above that of `import torch, lightning, torchvision`.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import lightning as L
import torch

from benchmarks.harness import table
from tenfold.config.compose import compose, options, to_plain
from tenfold.engine import cpu
from tenfold.engine.build import build_data, build_module, build_trainer
from tenfold.engine.module import TenfoldModule
from tenfold.engine.optimization import build_optimizer, build_scheduler

Built = tuple[dict[str, Any], Any, TenfoldModule, L.Trainer]

DEFAULT = "classification/mnist5k"
EPOCHS = 5  # of each loop, the first one not counted
STEPS = 20  # of an epoch at most


class EpochTimes(L.Callback):
    """Waits for its turn before each epoch, so that the hand-written loop can run in between."""

    def __init__(self, ours: threading.Semaphore, theirs: threading.Semaphore) -> None:
        self.ours, self.theirs = ours, theirs
        self.seconds: list[float] = []

    def on_train_epoch_start(self, *_: Any) -> None:
        self.ours.acquire()
        self.start = time.perf_counter()

    def on_validation_start(self, *_: Any) -> None:
        self.stop()

    def on_train_epoch_end(self, *_: Any) -> None:
        self.stop()
        self.theirs.release()

    def stop(self) -> None:
        if self.start is not None:
            self.seconds.append(time.perf_counter() - self.start)
            self.start = None


def built(recipe: str, folder: Path, epochs: int) -> Built:
    """All that `tenfold train` builds, as it builds it."""
    overrides = [f"experiment={recipe}", f"folder={folder}", "threads=1", f"trainer.max_epochs={epochs}"]
    config = to_plain(
        compose("train", [*overrides, f"trainer.limit_train_batches={STEPS}", "trainer.limit_val_batches=1"])
    )
    L.seed_everything(config["seed"], verbose=False)
    data = build_data(config)
    data.prepare_data()
    data.setup()
    module = build_module(config, data.spec)
    module.prepare(data)
    return config, data, module, build_trainer(config, folder)


def by_hand(all_of_it: Built, ours: threading.Semaphore, theirs: threading.Semaphore) -> list[float]:
    """The loop that a person would write: fetch, augment, forward, backward, step; the loss summed up for the log."""
    config, data, module, _ = all_of_it
    network = module.network.train()
    loader = data.train_dataloader()
    steps = min(len(loader), STEPS)
    optimizer = build_optimizer(config["optimizer"], network)
    scheduler = build_scheduler(config.get("scheduler"), optimizer, EPOCHS * steps)
    clip = config["trainer"].get("gradient_clip_val")
    augment, generator = getattr(data, "augment", None), torch.Generator().manual_seed(1)
    seconds, total = [], 0.0
    for epoch in range(EPOCHS):
        theirs.acquire()
        start = time.perf_counter()
        loader.set_epoch(epoch)
        for _, batch in zip(range(steps), loader, strict=False):
            batch = data.on_after_batch_transfer(batch, 0)
            if augment is not None:
                batch = batch._replace(inputs=augment(batch.inputs, generator))
            sums, weights = module.losses(batch), module.weights(batch)
            loss = sum(sums[name] / weights[name] for name in sums)
            optimizer.zero_grad()
            loss.backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            total += loss.item()
        seconds.append((time.perf_counter() - start) / steps)
        ours.release()
    return seconds


def compare(recipe: str) -> list[object]:
    """A row of the table: milliseconds a step of both loops, and their ratio."""
    ours, theirs = threading.Semaphore(0), threading.Semaphore(1)
    hand: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        hands = built(recipe, Path(folder, "hand"), EPOCHS)
        _, data, module, trainer = built(recipe, Path(folder, "ours"), EPOCHS)
        thread = threading.Thread(target=lambda: hand.extend(by_hand(hands, ours, theirs)), daemon=True)
        thread.start()
        times = EpochTimes(ours, theirs)
        trainer.callbacks.insert(0, times)
        trainer.fit(module, datamodule=data)
        thread.join()
        steps = trainer.num_training_batches
    pairs = list(zip([t / steps for t in times.seconds], hand, strict=True))[1:]
    mine, other = (statistics.median(column) * 1e3 for column in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    return [recipe, steps, f"{other:.2f}", f"{mine:.2f}", f"{ratio:.3f}"]


def peak_memory(recipe: str, which: str) -> float:
    """Largest resident set, in MiB, of a process that trains with one of the two loops."""
    done = subprocess.run([sys.executable, __file__, f"--{which}", recipe], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def first_step() -> tuple[float, float]:
    """Seconds to import what everybody imports, and from a fresh interpreter to the end of the first step."""
    bare = [sys.executable, "-c", "import torch, lightning, torchvision"]
    ours = [sys.executable, __file__, "--first-step", DEFAULT]
    times: dict[str, list[float]] = {"bare": [], "ours": []}
    for _ in range(3):
        for name, command in (("bare", bare), ("ours", ours)):
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times[name].append(time.perf_counter() - start)
    return statistics.median(times["bare"]), statistics.median(times["ours"])


def alone(which: str, recipe: str) -> None:
    """The body of the processes that `peak_memory` and `first_step` start."""
    with tempfile.TemporaryDirectory() as folder:
        if which == "--first-step":
            from tenfold.engine import processes

            del processes
            _, data, module, trainer = built(recipe, Path(folder), 1)
            module.on_train_batch_end = lambda *_: os._exit(0)  # type: ignore[method-assign]
            trainer.fit(module, datamodule=data)
        if which == "--hand":
            by_hand(built(recipe, Path(folder), EPOCHS), threading.Semaphore(0), threading.Semaphore(EPOCHS))
        if which == "--ours":
            _, data, module, trainer = built(recipe, Path(folder), EPOCHS)
            trainer.fit(module, datamodule=data)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main(arguments: list[str]) -> None:
    cpu.set_up(1)
    if arguments and arguments[0].startswith("--"):
        return alone(*arguments)
    recipes = options("experiment") if arguments == ["all"] else arguments or [DEFAULT]
    rows = [
        [*compare(recipe), *(f"{peak_memory(recipe, which):.0f}" for which in ("hand", "ours"))] for recipe in recipes
    ]
    print(table(["recipe", "steps", "by hand, ms", "ours, ms", "ratio", "by hand, MiB", "ours, MiB"], rows))
    bare, ours = first_step()
    print(f"\nimports alone {bare:.2f} s; to the end of the first step {ours:.2f} s: {ours - bare:.2f} s above them")


if __name__ == "__main__":
    main(sys.argv[1:])
