"""The engine's promises where memory, numbers and processes are a GPU's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch import nn

from engine.toys import Gan, Regressor, ToyData, difference, flat
from engine.toys import train as fit
from tenfold.commands.train import run as train
from tenfold.config.compose import compose
from tenfold.engine import memory, runs
from tenfold.engine.accumulation import Stepping
from tenfold.engine.checkpoint import load_checkpoint
from tenfold.engine.ranks import own_group
from tenfold.engine.sharding import Sharded
from tenfold.errors import UserError

if not torch.cuda.is_available():
    pytest.skip("needs a GPU", allow_module_level=True)

DIGITS = ["experiment=classification/digits", "trainer.accelerator=gpu", "callbacks.progress=null", "threads=1"]


def trained(folder: Path, *overrides: str) -> dict[str, Any]:
    """The weights and the metrics of a run."""
    assert train(compose("train", [*DIGITS, f"folder={folder}", *overrides])) == 0
    weights = load_checkpoint(folder / "checkpoints" / "last.ckpt")["state_dict"]
    return {"weights": weights, "metrics": runs.read_metrics(folder)["metrics"]}


@pytest.mark.parametrize("make", [Regressor, Gan])
@pytest.mark.parametrize("micro_batch_size", [1, 3, "auto"])
def test_micro_batches_end_like_the_whole_batch(make, micro_batch_size):
    found, whole = make().double(), make().double()
    for module, size in ((found, micro_batch_size), (whole, None)):
        stepping = Stepping(micro_batch_size=size, gradient_clip_val=0.5)
        fit(module, ToyData(19, 8), stepping=stepping, accelerator="gpu", precision="64-true", max_epochs=2)
    assert difference(found.cpu(), whole.cpu()) <= 1e-12


@pytest.mark.parametrize("make", [Regressor, Gan])
@pytest.mark.parametrize("precision, tolerance", [("16-mixed", 5e-3), ("bf16-mixed", 3e-2)])
def test_half_precision_ends_near_full_precision_however_it_is_cut(make, precision, tolerance):
    found, whole, full = make(), make(), make()
    for module, size, half in ((found, 3, True), (whole, None, True), (full, None, False)):
        scaler = torch.amp.GradScaler(init_scale=1024.0) if precision == "16-mixed" else None  # none overflows
        plugins = [MixedPrecision(precision, "cuda", scaler)] if half else []
        stepping = Stepping(micro_batch_size=size, gradient_clip_val=0.5)
        fit(module, ToyData(19, 8), stepping=stepping, accelerator="gpu", plugins=plugins, max_epochs=2)
    assert difference(found.cpu(), full.cpu()) <= tolerance and difference(whole.cpu(), full.cpu()) <= tolerance
    assert not torch.equal(flat(whole), flat(full))


def test_shares_of_weights_end_like_whole_ones():
    sharded, plain = Regressor().double(), Regressor().double()
    for module, strategy in ((sharded, Sharded(block=1)), (plain, "auto")):
        with own_group():
            fit(module, ToyData(19, 8), strategy=strategy, accelerator="gpu", precision="64-true", max_epochs=2)
    assert difference(sharded.cpu(), plain.cpu()) <= 1e-12


@pytest.fixture
def small_gpu():
    """A gibibyte, and what is allocated already."""
    total = torch.cuda.get_device_properties(0).total_memory
    memory.release()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**30) / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    memory.release()


def test_auto_halves_when_the_gpu_itself_runs_out_of_memory(small_gpu):
    """A sample's activations are 75 MiB a layer: eight of them do not fit."""

    def wide() -> Regressor:
        return Regressor(nn.Sequential(nn.Linear(3, 2**22), nn.Tanh(), nn.Linear(2**22, 1)))

    found = wide()
    fit(found, ToyData(16, 8), stepping=Stepping(micro_batch_size="auto"), accelerator="gpu")
    chosen, weights = found.accumulation.chosen, flat(found.cpu())
    del found
    memory.release()
    assert chosen in (1, 2, 4)
    expected = wide()
    fit(expected, ToyData(16, 8), stepping=Stepping(micro_batch_size=chosen), accelerator="gpu")
    assert (weights - flat(expected.cpu())).norm() <= 1e-6 * weights.norm()


def test_memory_is_reported_by_micro_batch_size(tmp_path):
    trained(tmp_path / "run", "callbacks=[default,memory]", "trainer.max_epochs=1")
    rows = json.loads((tmp_path / "run" / "memory.json").read_text(encoding="utf-8"))
    sizes = [row["cuda_mib"] for row in rows]
    assert len(sizes) > 3 and min(sizes) > 0 and sizes[0] == max(sizes)


def test_a_seed_gives_the_same_weights_and_a_resumed_run_goes_on_as_if_nothing_had_been(tmp_path, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    exact = ["trainer.deterministic=true", "trainer.max_epochs=4", "scheduler=constant"]
    one, two = (trained(tmp_path / name, *exact) for name in ("one", "two"))
    assert one["metrics"] == two["metrics"]
    trained(tmp_path / "parts", *exact[::2], "trainer.max_epochs=2")
    resumed = compose("train", [f"run={tmp_path / 'parts'}", "trainer.max_epochs=4"])
    assert train(resumed) == 0
    weights = load_checkpoint(tmp_path / "parts" / "checkpoints" / "last.ckpt")["state_dict"]
    for name, expected in one["weights"].items():
        assert torch.equal(two["weights"][name], expected), name
        assert torch.equal(weights[name], expected), name


@pytest.mark.parametrize("overrides", [["strategy=ddp"], ["strategy=fsdp"], ["compile=true"], ["precision=16-mixed"]])
def test_it_learns_under_each_of_the_trainers_options(tmp_path, overrides):
    found = trained(tmp_path / "run", *(f"trainer.{override}" for override in overrides))
    assert found["metrics"]["test/accuracy"] >= 0.95


def test_more_gpus_than_there_are_is_an_error(tmp_path):
    number = torch.cuda.device_count() + 1
    with pytest.raises(UserError, match=rf"trainer.devices: {number} GPUs were asked for"):
        train(compose("train", [*DIGITS, f"folder={tmp_path / 'run'}", f"trainer.devices={number}"]))
    assert not (tmp_path / "run" / "checkpoints").exists()
