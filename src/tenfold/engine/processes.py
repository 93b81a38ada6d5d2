"""One process a device: started for one run, ended together.

The parent hands each child the run folder, whose config says all; nothing of the command line is replayed, so it works
the same in a sweep.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_TOLD = ".told"  # made in the run folder by the process that tells of an error


def run_in_processes(folder: Path, count: int, resume: bool) -> int:
    """Train the run in `folder` with `count` local processes; the exit code of the first that failed, else 0.

    Ctrl-C reaches the children as it reaches this process, and SIGTERM is passed on; they save and stop by themselves.
    """
    port = _free_port()
    command = [sys.executable, "-m", "tenfold.engine.processes", str(folder), "resume" if resume else "new"]
    children = [subprocess.Popen(command, env=os.environ | _environment(rank, count, port)) for rank in range(count)]
    # Set after the children have started, who would inherit that SIGINT is ignored.
    handlers: dict[int, Any] = {signal.SIGINT: signal.SIG_IGN, signal.SIGTERM: lambda *_: _terminate(children)}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        return _wait(children)
    finally:
        _end(children, patience=0)
        (folder / _TOLD).unlink(missing_ok=True)
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminate(children: list[subprocess.Popen]) -> None:
    for child in children:
        if child.poll() is None:
            child.terminate()


def _environment(rank: int, count: int, port: int) -> dict[str, str]:
    return {
        "LOCAL_RANK": str(rank),
        "RANK": str(rank),
        "NODE_RANK": "0",
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def _wait(children: list[subprocess.Popen]) -> int:
    """Wait for all; when one fails, end the others, which would wait for it for ever."""
    while None in (codes := [child.poll() for child in children]) and not any(codes):
        time.sleep(0.05)
    failed = [code for code in codes if code]
    _end(children, patience=5)
    return _exit_code(failed[0]) if failed else 0


def _exit_code(returned: int) -> int:
    """As a shell has it: 128 + n for a process that signal n has ended."""
    if returned < 0:
        print(f"tenfold: a process was ended by {signal.Signals(-returned).name}", file=sys.stderr)
    return returned if returned >= 0 else 128 - returned


def _end(children: list[subprocess.Popen], patience: float) -> None:
    """Give the children `patience` seconds to come to an end by themselves, then kill them."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and any(child.poll() is None for child in children):
        time.sleep(0.05)
    for child in children:
        if child.poll() is None:
            child.kill()
            child.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _main() -> int:
    """A child: train the run in the folder given as the first argument."""
    from omegaconf import OmegaConf

    from tenfold.cli import complain
    from tenfold.config.compose import to_plain
    from tenfold.engine.fit import fit
    from tenfold.engine.runs import CONFIG
    from tenfold.errors import EXIT_CODE, UserError

    folder, mode = Path(sys.argv[1]), sys.argv[2]
    try:
        config = OmegaConf.load(folder / CONFIG)
        return fit(to_plain(config), folder, resume=mode == "resume")  # type: ignore[arg-type]
    except UserError as error:
        return complain(error) if _first_to_tell(folder) else EXIT_CODE


def _first_to_tell(folder: Path) -> bool:
    """Whether no other process has told of an error yet; mostly all have the same one, at the same time."""
    try:
        (folder / _TOLD).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(_main())
