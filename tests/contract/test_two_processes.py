"""Every recipe's weights come out the same in one process and in two, with and without micro-batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from contract.frozen_run import weights_after
from contract.stand_ins import stand_in
from tenfold.config.compose import options
from tenfold.engine.processes import _environment, _free_port

RECIPES = options("experiment")


@pytest.fixture(scope="module", params=["even", "odd"])
def jobs(request, tmp_path_factory) -> dict[str, list[str]]:
    """The overrides of every other recipe: to start a pair of processes costs more than to train a recipe in it."""
    return {
        recipe: [f"experiment={recipe}", *stand_in(recipe, tmp_path_factory.mktemp("data"), np.random.default_rng(0))]
        for recipe in RECIPES[request.param == "odd" :: 2]
    }


@pytest.fixture(scope="module")
def in_two(jobs, tmp_path_factory) -> Path:
    """The weights of these recipes after the same steps in two gloo processes, three micro-batches a device."""
    out = tmp_path_factory.mktemp("ranks")
    shared = ["trainer.devices=2", "trainer.strategy=ddp", "trainer.accumulate_grad_batches=3"]
    asked = json.dumps({name: [*overrides, *shared] for name, overrides in jobs.items()})
    command = [sys.executable, "-m", "contract.frozen_run", str(out), asked]
    tests = str(Path(__file__).parents[1])
    port = _free_port()
    ranks = []
    for rank in range(2):
        environment = os.environ | _environment(rank, 2, port) | {"PYTHONPATH": tests, "OMP_NUM_THREADS": "1"}
        ranks.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
    for process in ranks:
        output, _ = process.communicate(timeout=900)
        assert process.returncode == 0, output[-3000:]
    return out


def test_two_processes_and_one_reach_the_same_weights(jobs, in_two, tmp_path):
    for recipe, overrides in jobs.items():
        alone = weights_after(overrides, tmp_path)
        for rank in range(2):
            shared = torch.load(in_two / f"{recipe.replace('/', '.')}.rank{rank}.pt", weights_only=True)
            difference = torch.linalg.vector_norm(shared - alone) / torch.linalg.vector_norm(alone)
            assert difference <= 1e-12, f"{recipe}, rank {rank}: {float(difference):.1e}"
