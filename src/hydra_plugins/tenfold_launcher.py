"""The launcher of sweeps: every job is checked before the first one runs, and one that fails does not end the others.

Hydra finds its plugins in the namespace package `hydra_plugins` and nowhere else; this module is all that Tenfold has
there. Imports nothing heavy: Hydra loads it with every command.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, filter_overrides, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf, open_dict

from tenfold.engine.runs import SWEEP_VARIABLE
from tenfold.errors import UserError

ConfigStore.instance().store(
    group="hydra/launcher",
    name="tenfold",
    node={"_target_": "hydra_plugins.tenfold_launcher.TenfoldLauncher"},
    provider="tenfold",
)


class TenfoldLauncher(Launcher):
    """Runs a sweep's jobs one after the other in this process."""

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        setup_globals()
        configs = [self._job_config(overrides, initial_job_idx + i) for i, overrides in enumerate(job_overrides)]
        if self.config.hydra.job.config_name == "train":
            self._check(configs)
        results = []
        os.environ[SWEEP_VARIABLE] = str(self.config.hydra.sweep.dir)
        try:
            for config, overrides in zip(configs, job_overrides, strict=True):
                print(f"\njob {config.hydra.job.num}: {' '.join(filter_overrides(overrides))}", file=sys.stderr)
                results.append(self._run(config))
        finally:
            del os.environ[SWEEP_VARIABLE]
        failed = [initial_job_idx + i for i, result in enumerate(results) if result.status != JobStatus.COMPLETED]
        if failed:
            raise UserError(
                f"sweep: {len(failed)} of {len(results)} jobs failed (job {', '.join(map(str, failed))}); see above"
            )
        return results

    def _job_config(self, overrides: Sequence[str], number: int) -> DictConfig:
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        return config

    def _check(self, configs: Sequence[DictConfig]) -> None:
        """Refuse the sweep if any job could not run, before the first one costs time."""
        from hydra.core.hydra_config import HydraConfig

        from tenfold.config.check import check_config

        for number, config in enumerate(configs):
            HydraConfig.instance().set_config(config)
            job = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
            try:
                check_config(job)
            except UserError as error:
                self._leave_no_folder()
                raise UserError(f"job {number} of the sweep: {error}") from error

    def _leave_no_folder(self) -> None:
        """Take back the folder that Hydra has made for this sweep, if it holds nothing else."""
        folder = Path(str(self.config.hydra.sweep.dir))
        (folder / "multirun.yaml").unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()

    def _run(self, config: DictConfig) -> JobReturn:
        result = run_job(
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        if result.status != JobStatus.COMPLETED:
            error = result._return_value
            if not isinstance(error, UserError):
                traceback.print_exception(error)
            print(f"tenfold: job {config.hydra.job.num} failed: {' '.join(str(error).split())}", file=sys.stderr)
        return result
