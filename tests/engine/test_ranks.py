"""Two gloo processes that share each batch end with the weights of one process that has it all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine import rank_worker
from tenfold.engine.processes import _environment, _free_port

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each case ended with on both ranks."""
    folder, port = tmp_path_factory.mktemp("ranks"), _free_port()
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    processes = [
        subprocess.Popen(
            [sys.executable, rank_worker.__file__, str(folder), str(rank)],
            env=os.environ | _environment(rank, 2, port) | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        errors = [process.communicate(timeout=240)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    return lambda name: [torch.load(folder / f"{name}-{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", [name for name in rank_worker.CASES if not name.startswith("a_loss")])
def test_two_processes_end_like_one(ranks, name):
    alone, both = rank_worker.CASES[name](1), ranks(name)
    assert torch.equal(both[0]["weights"], both[1]["weights"])
    for result in both:
        tolerance = 1e-12 if name.startswith("fsdp") else 1e-5
        assert (result["weights"] - alone["weights"]).norm() <= tolerance * alone["weights"].norm()
        assert result["steps"] == alone["steps"]
        assert result["metrics"] == pytest.approx(alone["metrics"], rel=1e-4)
        losses = {key: value for key, value in alone["logged"].items() if "second" not in key}
        assert {key: result["logged"][key] for key in losses} == pytest.approx(losses, rel=1e-4)


def test_gradients_are_reduced_once_a_step(ranks):
    assert ranks("micro_batches")[0]["reductions"] == ranks("micro_batches")[0]["steps"] == 4


def test_lightning_alone_gives_another_gradient_in_one_process_and_in_two(ranks):
    """Where the engine's is the same, `test_two_processes_end_like_one`."""
    for result in (rank_worker.CASES["gradients_beside_lightnings"](1), *ranks("gradients_beside_lightnings")):
        exact = result["weights"]
        assert (result["lightnings"] - exact).norm() > 0.1 * exact.norm()


def test_each_rank_holds_a_share_of_weights_and_optimizer_state(ranks):
    """Of matrices of 8 x 3 and 1 x 8 half and the whole or nothing, of their biases too."""
    held = [result["held"] for result in ranks("fsdp_odd_batches")]
    assert sum(held) == rank_worker.CASES["fsdp_odd_batches"](1)["held"] == 2 * 41
    assert held[1] == 2 * 16


def test_both_ranks_choose_the_same_micro_batch(ranks):
    chosen = [result["chosen"] for result in ranks("auto_with_a_budget_on_one_rank")]
    assert chosen[0] == chosen[1] and chosen[0] in (1, 2)


@pytest.mark.parametrize("name", [name for name in rank_worker.CASES if name.startswith("batch_norm")])
def test_running_statistics_are_those_of_the_whole_batch(ranks, name):
    alone = rank_worker.CASES[name](1)
    for result in ranks(name):
        assert torch.allclose(result["buffers"], alone["buffers"], rtol=1e-5)


def test_gathered_outputs_stand_in_the_order_of_the_split(ranks):
    alone = rank_worker.CASES["outputs_in_the_order_of_the_split"](1)
    for result in ranks("outputs_in_the_order_of_the_split"):
        assert torch.equal(result["order"], alone["order"])


def test_a_loss_that_is_not_finite_on_one_rank_stops_both_with_one_message(ranks):
    errors = [result["error"] for result in ranks("a_loss_that_is_not_finite_on_the_last_rank")]
    assert errors[0] == errors[1] and "step 3 (epoch 0, batch 2)" in errors[0]
