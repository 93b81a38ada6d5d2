"""Run folders: exclusive, found again by what a person types, shared where a launcher started several processes."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from tenfold.engine import runs
from tenfold.errors import UserError


def finished(folder: Path, metrics: dict[str, float], age: float = 0.0, **record) -> Path:
    (folder / runs.CHECKPOINTS).mkdir(parents=True)
    (folder / runs.CONFIG).write_text("seed: 1\n")
    runs.write_json(folder / runs.METRICS, {"metrics": metrics} | record)
    os.utime(folder / runs.CONFIG, (time.time() - age, time.time() - age))
    return folder


def test_a_folder_is_never_shared_by_chance(tmp_path):
    folders: list[Path] = []
    threads = [threading.Thread(target=lambda: folders.append(runs.make_folder(tmp_path / "topic"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(folders)) == 20 and all(folder.is_dir() for folder in folders)


def test_a_name_that_is_taken_and_a_parent_that_is_a_file(tmp_path):
    runs.make_folder(tmp_path, "mine")
    with pytest.raises(UserError, match=r"mine exists already"):
        runs.make_folder(tmp_path, "mine")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file cannot be written"):
        runs.make_folder(tmp_path / "file")


def test_latest_best_and_paths(tmp_path):
    a = finished(tmp_path / "t/r/a", {"val/loss": 0.5, "val/accuracy": 0.8}, age=10, directions={"val/loss": "min"})
    b = finished(tmp_path / "t/r/b", {"val/loss": 0.9, "val/accuracy": 0.9}, directions={"val/loss": "min"})
    (tmp_path / "t/r/half").mkdir()
    assert runs.find_run("latest", tmp_path) == b
    assert runs.find_run("best:val/loss", tmp_path) == a
    assert runs.find_run("best:val/accuracy", tmp_path) == b
    (b / runs.CHECKPOINTS / "last.ckpt").touch()
    for address in (b, b / runs.CONFIG, b / "checkpoints/last.ckpt"):
        assert runs.find_run(str(address), tmp_path) == b
    assert runs.checkpoint_of(b, "best") == b / "checkpoints/last.ckpt"


def test_a_score_that_is_not_a_number_is_never_the_best(tmp_path):
    for name, score in (("a", float("nan")), ("b", 0.5), ("c", float("nan"))):
        finished(tmp_path / name, {"val/loss": score}, directions={"val/loss": "min"})
    assert runs.find_run("best:val/loss", tmp_path) == tmp_path / "b"


def test_what_is_not_there_is_told(tmp_path):
    for address, message in (
        ("latest", "there is no run under"),
        ("best:val/loss", "has the metric"),
        ("x", "no run folder"),
    ):
        with pytest.raises(UserError, match=message):
            runs.find_run(address, tmp_path)
    folder = finished(tmp_path / "a", {"val/loss": 1.0})
    with pytest.raises(UserError, match="did you mean 'val/loss'"):
        runs.find_run("best:val/los", tmp_path)
    with pytest.raises(UserError, match="holds no checkpoint"):
        runs.checkpoint_of(folder)
    with pytest.raises(UserError, match="expected best or last"):
        runs.checkpoint_of(folder, "first")


TORCHRUN = {
    "LOCAL_RANK": "{rank}",
    "RANK": "{rank}",
    "WORLD_SIZE": "2",
    "LOCAL_WORLD_SIZE": "2",
    "TORCHELASTIC_RUN_ID": "x",
}
SLURM = {"SLURM_PROCID": "{rank}", "SLURM_JOB_ID": "71", "SLURM_STEP_ID": "0"}


@pytest.mark.parametrize("environment", [TORCHRUN, SLURM], ids=["torchrun", "slurm"])
@pytest.mark.parametrize("left", [None, "by an older launch of the same id"])
def test_processes_of_one_launch_share_a_folder(tmp_path, monkeypatch, environment, left):
    found: dict[str, Path] = {}

    def be(rank: int) -> None:
        for name, value in environment.items():
            monkeypatch.setenv(name, value.format(rank=rank))

    be(1)
    if left:
        pointer = tmp_path / f".launch-{runs._launch_id()}"
        pointer.write_text("/elsewhere")
        os.utime(pointer, (time.time() - 3600, time.time() - 3600))
    waiting = threading.Thread(target=lambda: found.update(one=runs.shared_folder(tmp_path)))
    waiting.start()
    time.sleep(0.3)  # long enough to have asked for its rank
    be(0)
    found["zero"] = runs.shared_folder(tmp_path)
    waiting.join()
    assert found["one"] == found["zero"] and found["zero"].is_dir()


def test_alone_nothing_is_left_beside_the_folder(tmp_path, monkeypatch):
    for name in (*TORCHRUN, *SLURM):
        monkeypatch.delenv(name, raising=False)
    folder = runs.shared_folder(tmp_path)
    assert list(tmp_path.iterdir()) == [folder]
