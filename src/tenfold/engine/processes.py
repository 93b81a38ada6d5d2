"""One process a device: started for one run, ended together.

The parent hands each child the run folder, whose config says all; nothing of the command line is replayed, so it works the
same in a sweep.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import torch


def run_in_processes(folder: Path, count: int, resume: bool) -> int:
    """Train the run in `folder` with `count` local processes; the exit code of the first that failed, else 0.

    Ctrl-C reaches the children as it reaches this process; they save and stop by themselves.
    """
    port = _free_port()
    command = [sys.executable, "-m", "tenfold.engine.processes", str(folder), "resume" if resume else "new"]
    children = [subprocess.Popen(command, env=os.environ | _environment(rank, count, port)) for rank in range(count)]
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return _wait(children)
    finally:
        signal.signal(signal.SIGINT, ignored)


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
    while any(child.poll() is None for child in children):
        failed = [child.returncode for child in children if child.returncode]
        if failed:
            _end(children)
            return failed[0]
        time.sleep(0.05)
    return next((child.returncode for child in children if child.returncode), 0)


def _end(children: list[subprocess.Popen]) -> None:
    deadline = time.monotonic() + 5  # seconds for the others to fail by themselves, with the same message or none
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
        return complain(error) if os.environ["RANK"] == "0" else EXIT_CODE


if __name__ == "__main__":
    code = _main()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    sys.exit(code)
