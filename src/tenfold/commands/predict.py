"""tenfold predict: answers to new inputs, as JSON lines."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from omegaconf import DictConfig

from tenfold.config.compose import to_plain
from tenfold.errors import UserError

HELP = """tenfold predict run=ADDRESS input=SOURCE [key=value ...]: answer new inputs, as JSON lines.

  tenfold predict run=latest input=photo.png                 an image
  tenfold predict run=latest input=[a.png,folder]            files and folders
  tenfold predict run=latest input=rows.csv                  the rows of a table
  tenfold predict run=latest input=reviews.txt               a text file, one text a line
  echo "a fine film" | tenfold predict run=latest input=-    standard input
  tenfold predict run=latest input=folder output=out.jsonl   into a file

Each line holds the input's name and, for classification, its label and the probability of each class."""


def run(config: DictConfig) -> int:
    import torch

    from tenfold.engine.restore import device_for, restore

    values = to_plain(config)
    if not isinstance(values["batch_size"], int) or values["batch_size"] < 1:
        raise UserError(f"batch_size: found {values['batch_size']!r}, expected at least 1")
    _, module = restore(values["run"], values["outputs"], values["checkpoint"])
    device = device_for(values["accelerator"])
    module = module.to(device)
    sources = [str(s) for s in values["input"]] if isinstance(values["input"], list) else [str(values["input"])]
    with torch.inference_mode(), _opened(values["output"]) as out:
        for names, inputs in module.spec.read(sources, values["batch_size"]):
            for name, answer in zip(names, module.predict_inputs(inputs.to(device)), strict=True):
                print(json.dumps({"input": name, **answer}, ensure_ascii=False), file=out)
    return 0


@contextlib.contextmanager
def _opened(path: str | None) -> Iterator[TextIO]:
    """Standard output, or a file that appears under its name only when it is whole."""
    if path is None:
        yield sys.stdout
        return
    temporary = Path(f"{path}.part")
    try:
        with temporary.open("w", encoding="utf-8") as out:
            yield out
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"output: {path} cannot be written ({error.strerror})") from error
    finally:
        temporary.unlink(missing_ok=True)
