"""The command line, run in the test's own process: importing torch anew takes longer than most of what is tested."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import NamedTuple

from tenfold.cli import main

#: What makes a run small, quick and silent.
SMALL = ("threads=1", "trainer.accelerator=cpu", "callbacks.progress=null", "trainer.max_epochs=2")


class Ended(NamedTuple):
    code: int | str | None
    out: str
    err: str


def tenfold(*arguments: str) -> Ended:
    """`tenfold ARGUMENTS`, to its end."""
    out, err = io.StringIO(), io.StringIO()
    code = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code
    return Ended(code, out.getvalue(), err.getvalue())


def refused(*arguments: str) -> str:
    """The line in which `tenfold ARGUMENTS` is refused. It is the only one, and no file was left under the outputs."""
    before = written()
    code, out, err = tenfold(*arguments)
    assert code == 2, f"exit code {code}\n{out}\n{err}"
    assert len(err.splitlines()) == 1, err
    assert err.startswith("tenfold: ")
    assert written() == before
    return err.removeprefix("tenfold: ").strip()


def written() -> set[Path]:
    """Every file under the outputs."""
    return {path for path in Path(os.environ["TENFOLD_OUTPUTS"]).rglob("*") if not path.is_dir()}
