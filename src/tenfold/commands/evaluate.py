"""tenfold evaluate: the metrics of a run's checkpoint on a split, the trivial baseline beside them."""

from __future__ import annotations

from omegaconf import DictConfig

from tenfold.config.compose import to_plain
from tenfold.errors import UserError

HELP = """tenfold evaluate run=ADDRESS [key=value ...]: measure a run's checkpoint on a split of its data.

  tenfold evaluate run=latest                                the latest run, on its test split
  tenfold evaluate run=best:val/accuracy split=val           the best of all runs by a metric
  tenfold evaluate run=outputs/... checkpoint=last           a run folder, its last checkpoint
  tenfold evaluate run=latest +data.root=/elsewhere          its data at another place

Writes evaluate-<split>.json into the run folder and prints the table."""


def run(config: DictConfig) -> int:
    from tenfold.config.instantiate import require_allowed
    from tenfold.engine.evaluate import evaluate
    from tenfold.engine.record import table_of
    from tenfold.engine.restore import restore

    values = to_plain(config)
    if values["split"] not in ("val", "test"):
        raise UserError(f"split: found {values['split']!r}, expected val or test")
    folder, module = restore(values["run"], values["outputs"], values["checkpoint"])
    module.config["data"] = module.config["data"] | values["data"]
    require_allowed(module.config["data"])
    record = evaluate(module, folder, values["split"], values["accelerator"])
    print(f"{table_of(record)}\n\nrun folder  {folder}")
    return 0
