"""Local processes that are started for one run and end together."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tenfold.engine import processes


def child(code: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code])


SLEEPING = "import time; time.sleep(60)"


def test_all_well():
    assert processes._wait([child("pass"), child("pass")]) == 0


@pytest.mark.parametrize("code, expected", [("raise SystemExit(2)", 2), ("raise SystemExit(130)", 130)])
def test_one_that_fails_ends_the_others(monkeypatch, code, expected):
    end = processes._end
    monkeypatch.setattr(processes, "_end", lambda children, patience: end(children, patience=0.1))
    children = [child(SLEEPING), child(code)]
    start = time.monotonic()
    assert processes._wait(children) == expected
    assert children[0].poll() is not None and time.monotonic() - start < 50


def test_a_signal_is_told_and_counts_as_in_a_shell(capsys):
    assert processes._wait([child("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")]) == 137
    assert "ended by SIGKILL" in capsys.readouterr().err


def test_sigterm_is_passed_on():
    children = [child(SLEEPING), child(SLEEPING)]
    processes._terminate(children)
    assert [c.wait(timeout=30) for c in children] == [-15, -15]


def test_only_the_first_tells_of_an_error(tmp_path):
    assert [processes._first_to_tell(tmp_path) for _ in range(3)] == [True, False, False]


def test_the_environment_is_what_lightning_and_torch_read():
    environment = processes._environment(1, 2, 4567)
    assert environment["RANK"] == environment["LOCAL_RANK"] == "1"
    assert environment["WORLD_SIZE"] == environment["LOCAL_WORLD_SIZE"] == "2" and environment["MASTER_PORT"] == "4567"
