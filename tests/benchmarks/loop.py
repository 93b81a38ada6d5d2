"""What the training loop costs above a hand-written one, recipe by recipe.

    python tests/benchmarks/loop.py [recipe ... | all]          or: make bench args="loop all"

Both loops have the same network, batches, augmentation, loss, optimizer and schedule, and one thread. Ours is the
Trainer of `tenfold train`, with progress bar and TensorBoard. They take turns epoch by epoch in one thread of one
process: the table shows the median of an epoch's time by its steps, validation left out. The peak memory is that of a
process of its own for either loop. Then the time from a fresh interpreter to the end of the first step, above that of
`import torch, lightning, torchvision`. `all` leaves out recipes that have another loop, or data to download.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import lightning as L
import torch

from benchmarks.harness import table
from tenfold.commands.list import describe
from tenfold.config.compose import compose, conf_folder, options, to_plain
from tenfold.engine import cpu
from tenfold.engine.build import build_data, build_trainer, build_whole
from tenfold.engine.module import TenfoldModule
from tenfold.engine.optimization import build_optimizer, build_scheduler
from tenfold.errors import UserError

DEFAULT = "classification/mnist5k"
EPOCHS = 6  # of each loop, the first one not counted
STEPS = 20  # of an epoch at most
SECONDS = 3.0  # that the steps of an epoch may take, though there are at least three of them
PATIENCE = 240  # seconds for a recipe
UNDIVIDED = [f"trainer.{key}=null" for key in ("micro_batch_size", "accumulate_grad_batches", "memory_budget")]


class Built:
    """All that `tenfold train` builds for a recipe, as it builds it."""

    def __init__(self, recipe: str, folder: Path, steps: int = STEPS) -> None:
        overrides = [f"experiment={recipe}", f"folder={folder}", "threads=1", "trainer.accelerator=cpu", *UNDIVIDED]
        overrides += [f"trainer.max_epochs={EPOCHS}", f"trainer.limit_train_batches={steps}"]
        config = to_plain(compose("train", [*overrides, "trainer.limit_val_batches=1"]))
        L.seed_everything(config["seed"], verbose=False)
        self.config, self.folder = config, folder
        self.data = build_data(config)
        self.data.prepare_data()
        self.data.setup()
        self.module = build_whole(config, self.data)

    def trainer(self) -> L.Trainer:
        return build_trainer(self.config, self.folder)


class ByHand:
    """The loop that a person would write: fetch, augment, forward, backward, step; the loss summed up for the log."""

    def __init__(self, built: Built) -> None:
        self.data, self.module = built.data, built.module
        own_loop = type(self.module).training_step is not TenfoldModule.training_step
        if own_loop or len(self.module.optimized) > 1:
            raise UserError("it has a training loop of its own" if own_loop else "it has several optimizers")
        self.part = self.module.get_submodule(self.module.optimized[0])
        self.loader = self.data.train_dataloader()
        self.steps = min(len(self.loader), built.config["trainer"]["limit_train_batches"])
        self.optimizer = build_optimizer(built.config["optimizer"], self.part)
        self.scheduler = build_scheduler(built.config.get("scheduler"), self.optimizer, EPOCHS * self.steps)
        self.clip = built.config["trainer"].get("gradient_clip_val")
        self.augment, self.generator = getattr(self.data, "augment", None), torch.Generator().manual_seed(1)
        self.epoch, self.total = 0, 0.0

    def train(self) -> float:
        """One epoch; seconds a step."""
        self.module.train()
        start = time.perf_counter()
        self.loader.set_epoch(self.epoch)
        for number, batch in zip(range(self.steps), self.loader, strict=False):
            self._step(self.data.on_after_batch_transfer(batch, 0), number)
        self.epoch += 1
        return (time.perf_counter() - start) / self.steps

    def _step(self, batch: Any, number: int) -> None:
        if self.augment is not None:
            batch = batch._replace(inputs=self.augment(batch.inputs, self.generator))
        batch = self.module.drawn(batch, self.epoch, number)
        sums, weights = self.module.losses(batch), self.module.weights(batch)
        loss = sum(sums[name] / weights[name] for name in sums)
        self.optimizer.zero_grad()
        loss.backward()
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.part.parameters(), self.clip)
        self.optimizer.step()
        if self.scheduler is not None:
            self.scheduler.step()
        self.total += loss.item()

    def validate(self) -> None:
        """One batch, as ours does."""
        self.module.eval()
        with torch.no_grad():
            for _, batch in zip(range(1), self.data.val_dataloader(), strict=False):
                self.module.losses(self.module.drawn(self.data.on_after_batch_transfer(batch, 0), 0))


class Turns(L.Callback):
    """Lets the hand-written loop run an epoch before each of ours, and takes the time of both."""

    def __init__(self, hand: ByHand) -> None:
        self.hand = hand
        self.ours: list[float] = []
        self.theirs: list[float] = []

    def on_train_epoch_start(self, *_: Any) -> None:
        self.theirs.append(self.hand.train())
        self.hand.validate()
        self.start: float | None = time.perf_counter()

    def on_validation_start(self, *_: Any) -> None:
        self._stop()

    def on_train_epoch_end(self, *_: Any) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.start is not None:
            self.ours.append((time.perf_counter() - self.start) / self.hand.steps)
            self.start = None


def compare(recipe: str) -> dict[str, float]:
    """Seconds a step of both loops, and the median ratio of the epochs that lay side by side."""
    with tempfile.TemporaryDirectory() as folder:
        probe = ByHand(Built(recipe, Path(folder, "probe"), 3))
        steps = max(3, min(STEPS, int(SECONDS / max(min(probe.train(), probe.train()), 1e-9))))
        hand, ours = ByHand(Built(recipe, Path(folder, "hand"), steps)), Built(recipe, Path(folder, "ours"), steps)
        trainer, turns = ours.trainer(), Turns(hand)
        trainer.callbacks.insert(0, turns)  # type: ignore[attr-defined]
        trainer.fit(ours.module, datamodule=ours.data)
    pairs = list(zip(turns.ours, turns.theirs, strict=True))[1:]
    mine, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {"steps": hand.steps, "hand": other, "ours": mine, "ratio": statistics.median(a / b for a, b in pairs)}


def peak_memory(recipe: str, which: str) -> float:
    """Largest resident set of this process, in MiB, after it has trained with one of the two loops."""
    with tempfile.TemporaryDirectory() as folder:
        built = Built(recipe, Path(folder), 3)
        if which == "ours":
            built.trainer().fit(built.module, datamodule=built.data)
        else:
            hand = ByHand(built)
            for _ in range(EPOCHS):
                hand.train()
                hand.validate()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def stop_after_the_first_step(recipe: str) -> None:
    """`tenfold train`, up to there."""
    from tenfold.commands.train import run

    TenfoldModule.on_train_batch_end = lambda *_: os._exit(0)  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        run(compose("train", [f"experiment={recipe}", f"folder={folder}/run", "threads=1"]))


def first_step() -> list[list[object]]:
    """What everybody imports, and all up to the end of the first step, in fresh interpreters: seconds, and of a CPU."""
    commands = {
        "import torch, lightning, torchvision": [sys.executable, "-c", "import torch, lightning, torchvision"],
        f"{DEFAULT} to the end of its first step": [sys.executable, __file__, "--first-step", DEFAULT],
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(5):
        for name, command in commands.items():
            start, before = time.perf_counter(), os.times()
            subprocess.run(command, check=True, capture_output=True)
            after = os.times()
            cpu_seconds = after.children_user - before.children_user + after.children_system - before.children_system
            times[name].append((time.perf_counter() - start, cpu_seconds))
    bare, ours = ([statistics.median(column) for column in zip(*pairs, strict=True)] for pairs in times.values())
    above = [mine - other for mine, other in zip(ours, bare, strict=True)]
    rows = zip([*commands, "above"], (bare, ours, above), strict=True)
    return [[name, *(f"{value:.2f}" for value in values)] for name, values in rows]


ALONE = {
    "--compare": compare,
    "--hand": lambda recipe: peak_memory(recipe, "hand"),
    "--ours": lambda recipe: peak_memory(recipe, "ours"),
    "--first-step": stop_after_the_first_step,
}


def in_a_process(what: str, recipe: str) -> Any:
    """What one of `ALONE` gives, in a process of its own. Raises `UserError` with the reason where it gives none."""
    command = [sys.executable, __file__, what, recipe]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"it took longer than {PATIENCE} s") from error
    if done.returncode:
        raise UserError((done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1])
    return json.loads(done.stdout.splitlines()[-1])


def row(recipe: str) -> list[object]:
    found = in_a_process("--compare", recipe)
    memory = [f"{in_a_process(which, recipe):.0f}" for which in ("--hand", "--ours")]
    times = [f"{found['hand'] * 1e3:.2f}", f"{found['ours'] * 1e3:.2f}", f"{found['ratio']:.3f}"]
    return [recipe, found["steps"], *times, *memory]


def main(arguments: list[str]) -> None:
    if arguments and arguments[0] in ALONE:
        cpu.set_up(1)
        try:
            print("\n" + json.dumps(ALONE[arguments[0]](arguments[1])))
        except UserError as error:
            sys.exit(str(error))
        return
    rows, left_out = [], []
    for recipe in options("experiment") if arguments == ["all"] else arguments or [DEFAULT]:
        try:
            if arguments == ["all"] and "no download" not in describe(conf_folder() / "experiment" / f"{recipe}.yaml"):
                raise UserError("its data is to download, or the user's own")
            rows.append(row(recipe))
        except UserError as error:
            left_out.append(f"{recipe}: left out, {error}")
    print(table(["recipe", "steps", "by hand, ms", "ours, ms", "ratio", "by hand, MiB", "ours, MiB"], rows))
    print("\n".join(["", *left_out, ""]))
    print(table(["start", "seconds", "CPU seconds"], first_step()))


if __name__ == "__main__":
    main(sys.argv[1:])
