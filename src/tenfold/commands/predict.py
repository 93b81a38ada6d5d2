"""tenfold predict: answers to new inputs, as JSON lines."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from omegaconf import DictConfig

from tenfold.config.compose import to_plain
from tenfold.errors import UserError

HELP = """tenfold predict run=ADDRESS [input=SOURCE] [key=value ...]: the topic's own verb; answers as JSON lines.

  tenfold predict run=latest input=photo.png                 an image
  tenfold predict run=latest input=[a.png,folder]            files and folders
  tenfold predict run=latest input=rows.csv                  the rows of a table
  tenfold predict run=latest input=reviews.txt               a text file, one text a line
  echo "a fine film" | tenfold predict run=latest input=-    standard input
  tenfold predict run=latest input=folder output=out.jsonl   into a file
  tenfold predict run=latest n=64 condition=7 seed=1         generators: a grid of pictures, output=grid.png

Each line holds the input's name and the topic's answer: a label with its probabilities, tags, a translation, a
continuation, ... The topic's README says what it takes; conf/predict.yaml explains every key."""


def run(config: DictConfig) -> int:
    import torch

    from tenfold.engine.request import request_of
    from tenfold.engine.restore import device_for, restore

    values = to_plain(config)
    folder, module = restore(values["run"], values["outputs"], values["checkpoint"])
    request = request_of(values, module, folder)
    module = module.to(device_for(values["accelerator"]))
    with torch.inference_mode(), _opened(None if module.answer_file else values["output"]) as out:
        try:
            for answer in module.predict(request):
                print(answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False), file=out)
            out.flush()
        except BrokenPipeError:  # who reads the answers has seen enough, as `head` has
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python still flushes at its end
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
