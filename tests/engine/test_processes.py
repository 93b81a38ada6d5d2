"""Local processes that are started for one run and end together."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import torch

from tenfold.commands.train import run as train
from tenfold.config.compose import compose
from tenfold.engine import processes
from tenfold.engine.checkpoint import load_checkpoint
from tenfold.engine.ranks import own_group


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


def test_a_run_ends_the_group_that_it_began(tmp_path):
    """Of which a later run of the same process, alone or on another device, is to know nothing."""
    short = [
        "experiment=classification/iris",
        "trainer.max_epochs=1",
        "callbacks.progress=null",
        "trainer.accelerator=cpu",
    ]
    for strategy in ("ddp", "fsdp", "auto"):
        config = compose(
            "train", [*short, f"trainer.strategy={strategy}", f"folder={tmp_path / strategy}", "threads=1"]
        )
        assert train(config) == 0
        assert not torch.distributed.is_initialized()
        assert not {"LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT"} & os.environ.keys()
    weights = [load_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("ddp", "fsdp", "auto")]
    for name, expected in weights[2]["state_dict"].items():
        assert all(torch.equal(found["state_dict"][name], expected) for found in weights[:2])


def test_a_group_that_was_there_before_is_left_alone():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        with own_group():
            pass
        assert torch.distributed.is_initialized()
    finally:
        torch.distributed.destroy_process_group()
