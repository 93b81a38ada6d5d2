"""What every recipe owes on a GPU, found from conf/experiment."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from contract.stand_ins import stand_in
from contract.steps import SHORT, answers, cast, gradient
from tenfold.commands.train import run as train
from tenfold.config.compose import compose, options, to_plain
from tenfold.engine import runs
from tenfold.engine.build import build_data, build_whole
from tenfold.engine.checkpoint import load_checkpoint, rebuild
from tenfold.engine.evaluate import evaluate

if not torch.cuda.is_available():
    pytest.skip("needs a GPU", allow_module_level=True)

GPU = torch.device("cuda")


@pytest.fixture(params=options("experiment"))
def overrides(request, tmp_path: Path) -> list[str]:
    data = tmp_path / "data"
    data.mkdir()
    files = stand_in(request.param, data, np.random.default_rng(0))
    return [f"experiment={request.param}", f"folder={tmp_path / 'run'}", *SHORT, *files]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_it_trains_is_measured_and_answers_there_and_on_a_cpu(overrides, precision, tmp_path):
    config = compose("train", [*overrides, "trainer.accelerator=gpu", f"trainer.precision={precision}"])
    assert train(config) == 0
    measured = runs.read_metrics(tmp_path / "run")["metrics"]
    assert any(name.startswith("test/") for name in measured) and all(map(math.isfinite, measured.values()))
    module = rebuild(load_checkpoint(runs.checkpoint_of(tmp_path / "run")))
    with torch.inference_mode():
        assert json.dumps(answers(module, tmp_path))
        assert json.dumps(answers(module.to(GPU), tmp_path))
    record = evaluate(module, tmp_path / "run", "val", "gpu")
    assert any(map(math.isfinite, record["metrics"].values()))


def test_its_gradient_is_that_of_a_cpu(overrides):
    config = to_plain(compose("train", overrides))
    torch.manual_seed(0)
    data = build_data(config)
    data.setup()
    module = build_whole(config, data).double().eval()
    batch = cast(module.drawn(data.sample("train", 12), 0), torch.float64)
    here = {part: gradient(module, part, [batch]) for part in module.optimized}
    module.to(GPU)
    there = data.transfer_batch_to_device(batch, GPU, 0)
    for part, expected in here.items():
        with torch.backends.cudnn.flags(enabled=False):  # whose recurrent layers have no gradient in eval mode
            found = gradient(module, part, [there]).cpu()
        assert torch.linalg.vector_norm(found - expected) <= 1e-9 * torch.linalg.vector_norm(expected), part
