"""Run folders: made for one run alone, addressed by what a person types. Imports nothing heavy."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tenfold.errors import UserError

#: Set while a sweep runs: the folder in which its jobs' run folders are made.
SWEEP_VARIABLE = "TENFOLD_SWEEP"

CONFIG, METRICS, CHECKPOINTS, LOG = "config.yaml", "metrics.json", "checkpoints", "run.log"


def stamp() -> str:
    """The local time to the second, and a short random id: `2026-01-31_12-00-00-9f3a`."""
    return f"{time.strftime('%Y-%m-%d_%H-%M-%S')}-{secrets.token_hex(2)}"


def make_folder(parent: Path, name: str | None = None) -> Path:
    """A new folder in `parent`, called `<time>-<short id>` unless named; no other run ever shares it.

    Raises `UserError` where it cannot be written, or where a folder of the given name holds a run already.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            folder = parent / (name or stamp())
            try:
                folder.mkdir()
                return folder
            except FileExistsError as error:
                if name is not None:
                    raise UserError(f"folder: {folder} exists already, expected a new one") from error
    except OSError as error:
        raise UserError(f"folder: {parent} cannot be written ({error.strerror}), expected a writable folder") from error


def discard_untrained(folder: Path) -> None:
    """Remove a new run's folder if nothing came of the run: an error before training leaves nothing behind."""
    if {path.name for path in folder.iterdir()} <= {CONFIG, LOG}:
        shutil.rmtree(folder)


def shared_folder(parent: Path) -> Path:
    """A new folder, the same for all processes that a cluster's launcher (torchrun, SLURM) started for this run.

    Rank 0 makes it and leaves its name under the launch's id; the others wait for that. Needs a file system that they
    share, as checkpoints do.
    """
    launch = _launch_id()
    if launch is None:
        return make_folder(parent)
    pointer = parent / f".launch-{launch}"
    if os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0":
        folder = make_folder(parent)
        pointer.with_suffix(".tmp").write_text(str(folder), encoding="utf-8")
        os.replace(pointer.with_suffix(".tmp"), pointer)
        return folder
    apart = 120  # seconds: far more than the ranks' starts lie apart
    started, deadline = time.time(), time.monotonic() + apart
    while not pointer.is_file() or pointer.stat().st_mtime < started - apart:  # older: left by a launch of the same id
        if time.monotonic() > deadline:
            raise UserError(
                f"folder: rank 0 made none under {parent} within {apart} s; do all nodes share this folder?"
            )
        time.sleep(0.1)
    return Path(pointer.read_text(encoding="utf-8"))


def _launch_id() -> str | None:
    """What tells this launch from every other: SLURM's job and step, or torchrun's run id (and agent, on one node)."""
    environment = os.environ
    if "SLURM_PROCID" in environment and "LOCAL_RANK" not in environment:
        return f"{environment.get('SLURM_JOB_ID')}.{environment.get('SLURM_STEP_ID')}"
    if "LOCAL_RANK" not in environment:
        return None
    one_node = environment.get("WORLD_SIZE") == environment.get("LOCAL_WORLD_SIZE")
    parts = [environment.get("TORCHELASTIC_RUN_ID", "none"), environment.get("TORCHELASTIC_RESTART_COUNT", "0")]
    return ".".join([*parts, str(os.getppid())] if one_node else parts)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write all or nothing: a reader never meets half a file."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def read_metrics(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / METRICS).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}


def find_run(address: str, outputs: Path) -> Path:
    """The run folder that `address` names: `latest`, `best:<metric>` or a path. Raises `UserError` if there is none."""
    if address == "latest":
        runs = sorted(_runs(outputs), key=lambda folder: (folder / CONFIG).stat().st_mtime)
        if not runs:
            raise UserError(f"run: latest was asked for, but there is no run under {outputs}")
        return runs[-1]
    if address.startswith("best:"):
        return _best(address.removeprefix("best:"), outputs)
    folder = Path(address)
    if folder.is_file():
        folder = folder.parent.parent if folder.suffix == ".ckpt" else folder.parent
    if not (folder / CONFIG).is_file():
        raise UserError(
            f"run: {address} is no run folder (no {CONFIG} in it); expected latest, best:<metric> or a path"
        )
    return folder


def _runs(outputs: Path) -> Iterator[Path]:
    return (path.parent for path in outputs.rglob(CONFIG) if path.parent.joinpath(CHECKPOINTS).is_dir())


def _best(metric: str, outputs: Path) -> Path:
    from tenfold.errors import nearest

    found: dict[Path, float] = {}
    names: set[str] = set()
    direction = "max"
    for folder in _runs(outputs):
        record = read_metrics(folder)
        scores = record.get("metrics", {})
        names |= scores.keys()
        if metric in scores:
            found[folder] = scores[metric]
            direction = record.get("directions", {}).get(metric, "max")
    if not found:
        raise UserError(f"run: no run under {outputs} has the metric {metric!r}{nearest(metric, names)}")
    return (max if direction == "max" else min)(found, key=lambda folder: found[folder])


def checkpoint_of(folder: Path, which: str = "best") -> Path:
    """The checkpoint file of a run: `best` on validation data (or the last, where none was chosen), or `last`."""
    if which not in ("best", "last"):
        raise UserError(f"checkpoint: found {which!r}, expected best or last")
    candidates = [folder / CHECKPOINTS / f"{name}.ckpt" for name in (which, "last")]
    for path in candidates:
        if path.is_file():
            return path
    raise UserError(
        f"run: {folder} holds no checkpoint ({which}.ckpt); was the run stopped before its first epoch ended?"
    )
