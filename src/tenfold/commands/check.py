"""tenfold check: a config's mistakes, found without training."""

from __future__ import annotations

from omegaconf import DictConfig

from tenfold.config.compose import to_plain
from tenfold.config.leftovers import leftovers

HELP = """tenfold check [key=value ...]: validate what `tenfold train` would be given, without training.

  tenfold check experiment=classification/digits
  tenfold check data=images/folder data.root=photos model.network.channels=[32,64]

Every target and argument, the monitored metrics and the arithmetic of batches are checked first; then the data is read
and the model meets one batch of it."""


def run(config: DictConfig) -> int:
    from tenfold.config.check import check_batch, check_config
    from tenfold.engine.build import build_data, build_whole

    check_config(config)
    for line in leftovers():
        print(line)
    plain = to_plain(config) | {"folder": "run"}
    data = build_data(plain)
    data.prepare_data()
    data.setup()
    module = build_whole(plain, data)
    check_batch(module, data)
    parameters = sum(parameter.numel() for parameter in module.parameters())
    splits = ", ".join(f"{len(split):,} {name}" for name, split in data.splits.items())
    print(f"{config.recipe}: fine; {parameters:,} parameters, samples: {splits}")
    return 0
