"""tenfold train: check, make a run folder, fit, choose the best checkpoint, measure it, and say what came out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from tenfold.config.check import check_config
from tenfold.config.compose import run_overrides, to_plain
from tenfold.config.leftovers import leftovers
from tenfold.engine import runs
from tenfold.errors import UserError

PARTS = ("data", "model", "optimizer", "trainer")  # what no run's config is without

HELP = """tenfold train [key=value ...]: train a recipe, or resume a run.

  tenfold train experiment=classification/digits             a recipe (`tenfold list` shows them)
  tenfold train data.batch_size=256 optimizer.lr=0.003       change its values
  tenfold train optimizer=sgd scheduler=one_cycle            change its parts
  tenfold train -m seed=1,2,3 optimizer.lr=0.01,0.001        a sweep, each job in its own folder
  tenfold train debug=fast                                   one batch of everything (also: overfit, profile)
  tenfold train run=latest trainer.max_epochs=40             go on with a run
  tenfold train trainer.devices=2 trainer.strategy=ddp       two devices
  tenfold train --cfg job                                    all keys, each explained in conf/"""


def run(config: DictConfig) -> int:
    """Train what `config` describes; 0, or 130 after Ctrl-C."""
    resumed = runs.find_run(str(config.run), Path(str(config.outputs))) if config.run else None
    if resumed is not None:
        config = _resumed_config(resumed)
    check_config(config)
    if resumed is None:
        for line in leftovers():
            print(line)
        folder = _new_folder(config)
        try:
            return _fit(config, folder, resume=False)
        finally:
            runs.discard_untrained(folder)
    from tenfold.engine.checkpoint import load_checkpoint

    last = runs.checkpoint_of(resumed, "last")
    load_checkpoint(last)  # a damaged or foreign file is told before anything is changed
    before, saved = (resumed / runs.CONFIG).read_text(encoding="utf-8"), last.stat().st_mtime_ns
    try:
        return _fit(config, resumed, resume=True)
    finally:
        if runs.checkpoint_of(resumed, "last").stat().st_mtime_ns == saved:  # nothing has come of the changed values
            (resumed / runs.CONFIG).write_text(before, encoding="utf-8")


def _fit(config: DictConfig, folder: Path, resume: bool) -> int:
    """Write the config into the folder, and train what it says in as many processes as it says."""
    from tenfold.engine.companions import settle

    settle(config)
    config.folder = str(folder)
    OmegaConf.save(OmegaConf.create(to_plain(config)), folder / runs.CONFIG)
    processes = _local_processes(config)
    if processes > 1:
        from tenfold.engine.build import build_data
        from tenfold.engine.processes import run_in_processes

        build_data(to_plain(config)).prepare_data()  # downloads once, before there are several to do it
        return run_in_processes(folder, processes, resume)
    from tenfold.engine.fit import fit

    return fit(to_plain(config), folder, resume)


def _new_folder(config: DictConfig) -> Path:
    """`folder` where given; a numbered folder of its sweep; else a new one under outputs/<topic>/<recipe>."""
    if config.folder is not None:
        given = Path(str(config.folder))
        return runs.make_folder(given.parent, given.name)
    sweep = os.environ.get(runs.SWEEP_VARIABLE)
    if sweep is not None:
        from hydra.core.hydra_config import HydraConfig

        return runs.make_folder(Path(sweep), str(HydraConfig.get().job.num))
    return runs.shared_folder(Path(str(config.outputs)) / str(config.recipe))


def _resumed_config(folder: Path) -> DictConfig:
    """The run's own config with the values that were typed now; its parts stay as they are."""
    from tenfold.config.instantiate import require_allowed

    path = folder / runs.CONFIG
    try:
        config = OmegaConf.load(path)
    except (OSError, ValueError, YAMLError) as error:
        raise UserError(f"run: {path} is damaged, expected a config in YAML") from error
    if not isinstance(config, DictConfig) or not {"recipe", *PARTS} <= set(config):
        raise UserError(f"run: {path} is no whole config, expected {', '.join(('recipe', *PARTS))} in it")
    require_allowed(OmegaConf.to_container(config))
    with run_overrides() as overrides:
        for override in overrides:
            key, _, value = override.partition("=")
            if key != "run":
                _override(config, key, value, str(config.recipe))
    return config


def _override(config: DictConfig, key: str, value: str, recipe: str) -> None:
    name = key.lstrip("+")
    parent = name.rpartition(".")[0]
    if name == "experiment" and value != recipe:
        raise UserError(
            f"experiment: the run to resume is {recipe!r}, found {value!r}; leave it out, or start a new run"
        )
    if not parent and name in ("experiment", *PARTS, "scheduler", "callbacks", "logger"):
        if name == "experiment":
            return
        raise UserError(
            f"{name}: a resumed run keeps its parts; found {value!r}, expected values such as {name}.key=..."
        )
    if not key.startswith("+") and OmegaConf.select(config, parent or name, default=None) is None:
        raise UserError(f"{name}: the run to resume has no such key")
    OmegaConf.update(config, name, OmegaConf.create(f"value: {value or 'null'}").value)


def _local_processes(config: DictConfig) -> int:
    """Processes to start on this machine: no more where a cluster's launcher (torchrun, SLURM) has started them."""
    if "LOCAL_RANK" in os.environ or "SLURM_PROCID" in os.environ:
        return 1
    devices: Any = config.trainer.devices
    if devices in ("auto", -1, "-1"):
        import torch

        return max(1, torch.cuda.device_count()) if config.trainer.accelerator not in ("cpu", "mps") else 1
    return len(devices) if OmegaConf.is_list(devices) else int(devices)
