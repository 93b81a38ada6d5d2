"""Other runs that a run needs beside it: a teacher, a judge. Named by address, loaded frozen, never saved with it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_warn
from omegaconf import DictConfig

from tenfold.config.instantiate import resolve
from tenfold.engine import runs
from tenfold.engine.module import TenfoldModule
from tenfold.errors import UserError, nearest

#: Of the data's config, what leaves the split as it is.
HANDLING = frozenset(
    {"batch_size", "eval_batch_size", "seed", "last_batch", "num_workers", "augment", "root", "download", "cache"}
)
RECIPE = "recipe:"  # begins the address of a recipe's newest finished run, which is trained where there is none


def addresses(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The name and the address of each companion that the config of a run gives."""
    model = config["model"]
    for name in resolve(model["_target_"]).companions:
        if model.get(name) is not None:
            yield name, str(model[name])


def check_companions(config: Mapping[str, Any]) -> None:
    """That each address names a run that is there, or a recipe. Raises `UserError`."""
    from tenfold.config.compose import options

    for name, address in addresses(config):
        if not address.startswith(RECIPE):
            _found(name, address, config)
            continue
        recipe, known = address.removeprefix(RECIPE), options("experiment")
        if recipe not in known:
            raise UserError(f"model.{name}: there is no recipe {recipe!r}{nearest(recipe, known)}")


def settle(config: DictConfig) -> None:
    """Put the folder of a finished run in place of each address, training what is not there yet."""
    for name, address in addresses(config):  # type: ignore[arg-type]
        folder = config.model[name] = str(_settled(name, address, config))
        if address.startswith(RECIPE):  # what a shorter or changed run of the recipe is worth, a person can then see
            print(f"model.{name}: {folder}{_worth(Path(folder))}")


def _settled(name: str, address: str, config: DictConfig) -> Path:
    if not address.startswith(RECIPE):
        return _found(name, address, config)  # type: ignore[arg-type]
    recipe, outputs = address.removeprefix(RECIPE), Path(str(config.outputs))
    folder = newest_finished(recipe, outputs)
    if folder is None:
        if os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0":
            _train(name, recipe, config)
        else:  # rank 0 trains it
            while newest_finished(recipe, outputs) is None:
                time.sleep(1)
        folder = newest_finished(recipe, outputs)
    assert folder is not None
    return folder


def newest_finished(recipe: str, outputs: Path) -> Path | None:
    """The newest run of the recipe that was trained to its end and measured; of `debug=fast` no checkpoint is left."""
    measured = [path.parent for path in (outputs / recipe).glob(f"*/{runs.METRICS}")]
    finished = [folder for folder in measured if (folder / runs.CHECKPOINTS).is_dir()]
    return max(finished, key=lambda folder: (folder / runs.METRICS).stat().st_mtime, default=None)


def _worth(folder: Path) -> str:
    """The first metric of the run's module on validation data, where it was measured."""
    record = runs.read_metrics(folder)
    metric = next(iter(record.get("directions", {})), None)
    value = record.get("metrics", {}).get(metric)
    return "" if value is None else f" ({metric} {value:.4f})"


def _train(name: str, recipe: str, config: DictConfig) -> None:
    """In a process of its own, so that nothing of it stays here."""
    print(f"model.{name}: no finished run of {recipe} yet; training one")
    command = [sys.executable, "-m", "tenfold", "train", f"experiment={recipe}", f"outputs={config.outputs}"]
    command += [f"trainer.accelerator={config.trainer.accelerator}", f"threads={config.threads or 'null'}"]
    alone = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "NODE_RANK", "SLURM_PROCID", runs.SWEEP_VARIABLE}
    environment = {key: value for key, value in os.environ.items() if key not in alone}
    if code := subprocess.run(command, env=environment).returncode:
        raise UserError(f"model.{name}: training {recipe} ended with exit code {code}")


def _found(name: str, address: str, config: Mapping[str, Any]) -> Path:
    try:
        return runs.find_run(address, Path(str(config.get("outputs") or "outputs")))
    except UserError as error:
        raise UserError(f"model.{name}: {str(error).removeprefix('run: ')}; or {RECIPE}<topic>/<recipe>") from error


def warn_of_another_split(name: str, companion: TenfoldModule, data: Mapping[str, Any], seen: str) -> None:
    """Where the companion was trained on another split than that of the config `data`: it may have `seen` the rest."""
    theirs = companion.config.get("data") or {}
    told = (theirs.keys() | data.keys()) - HANDLING
    if changed := sorted(key for key in told if theirs.get(key) != data.get(key)):
        rank_zero_warn(
            f"model.{name}: trained on another split of the data (data.{changed[0]}): it may have seen {seen}"
        )


def join(module: TenfoldModule) -> None:
    """Load the companions that the module's config names, frozen, and let the module look at each."""
    from tenfold.engine.restore import restore

    for name, address in addresses(module.config):
        if address.startswith(RECIPE):  # only looked at so far: `tenfold check`
            companion = _untrained(address.removeprefix(RECIPE))
        else:
            try:
                _, companion = restore(address, str(module.config.get("outputs") or "outputs"), "best")
            except UserError as error:
                raise UserError(f"model.{name}: {error}") from error
        module.welcome(name, companion.requires_grad_(False).eval())


def _untrained(recipe: str) -> TenfoldModule:
    from tenfold.config.compose import compose_aside, to_plain
    from tenfold.engine.build import build_data, build_module

    config = to_plain(compose_aside("train", [f"experiment={recipe}"]))
    data = build_data(config)
    data.prepare_data()
    data.setup()
    return build_module(config, data.spec)
