"""The command line: `tenfold VERB [Hydra overrides]`. Imports nothing heavy."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from tenfold.errors import EXIT_CODE, INTERRUPTED, UserError, nearest

#: Each verb with what `--help` says of it; its code is `tenfold.commands.<verb>`, its config `conf/<verb>.yaml`.
VERBS = {
    "train": "train a recipe, or resume a run (run=latest)",
    "evaluate": "measure a run's checkpoint on a split",
    "predict": "answer new inputs with a run's checkpoint, as JSON lines",
    "export": "write a run's network as ONNX or torch.export",
    "check": "validate a config without training",
    "list": "every recipe, by topic",
    "completion": 'shell completion: eval "$(tenfold completion bash)"',
}

HELP = """Tenfold: deep-learning recipes on Lightning and Hydra.

usage: tenfold VERB [key=value ...]        (the overrides are Hydra's: group=name, a.b=3, +new=1, ~gone, -m for sweeps)

verbs:
{verbs}

examples:
  tenfold train                                              the default recipe
  tenfold train experiment=classification/digits seed=3
  tenfold train -m optimizer.lr=0.01,0.001 seed=1,2,3        a sweep
  tenfold train run=latest trainer.max_epochs=40             go on with the latest run
  tenfold train --cfg job                                    the composed config, without running it
  tenfold VERB --help                                        what a verb can be told

`--debug` (or HYDRA_FULL_ERROR=1) shows the traceback of an error."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one verb; exit with 0, with 2 after a person's mistake (one line on stderr), with 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "--debug" in arguments:
        arguments.remove("--debug")
        os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        code = _run(arguments)
    except UserError as error:
        code = complain(error)
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


def complain(error: UserError) -> int:
    """Tell the error as one line, after its traceback where one was asked for."""
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        traceback.print_exception(error)
    print(f"tenfold: {' '.join(str(error).split())}", file=sys.stderr)
    return EXIT_CODE


def _run(arguments: list[str]) -> int:
    verb = arguments[0] if arguments else "--help"
    if verb in ("--help", "-h", "help"):
        print(HELP.format(verbs="\n".join(f"  {name:<12}{line}" for name, line in VERBS.items())))
        return 0
    if verb == "--version":
        from tenfold import __version__

        print(__version__)
        return 0
    if verb not in VERBS:
        raise UserError(f"verb: found {verb!r}, expected one of {', '.join(VERBS)}{nearest(verb, VERBS)}")
    command: Any = importlib.import_module(f"tenfold.commands.{verb}")
    if hasattr(command, "main"):  # a verb without a config
        return command.main(arguments[1:])
    if any(argument in ("--help", "-h") for argument in arguments[1:]):
        print(command.HELP)
        return 0
    return _with_config(verb, command.run, arguments[1:])


def _with_config(verb: str, run: Callable[[Any], int], arguments: list[str]) -> int:
    from tenfold.config.compose import run_with_hydra

    return run_with_hydra(verb, run, arguments)
