"""What every recipe owes, found from conf/experiment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tenfold
from contract.stand_ins import stand_in
from contract.steps import SHORT, answers, cast, gradient
from tenfold.commands.list import describe
from tenfold.commands.train import run as train
from tenfold.config.compose import compose, conf_folder, options, to_plain
from tenfold.config.instantiate import resolve
from tenfold.data.base import DataModule
from tenfold.engine import runs
from tenfold.engine.batch import cut, num_samples
from tenfold.engine.build import build_data, build_whole
from tenfold.engine.checkpoint import load_checkpoint, rebuild
from tenfold.engine.export import export_onnx, export_torch

RECIPES = options("experiment")
ON_CPU = ["trainer.accelerator=cpu"]
TOPICS = Path(tenfold.__file__).parent / "topics"
EVERY_RUN_WRITES = {
    "train/loss",
    "train/lr",
    "train/grad_norm",
    "train/samples_per_second",
    "val/loss",
}


@dataclass
class Run:
    """A recipe, trained for two epochs of at most three batches."""

    recipe: str
    config: dict[str, Any]
    folder: Path

    @cached_property
    def data(self) -> DataModule:
        data = build_data(self.config)
        data.setup()
        return data


@pytest.fixture(scope="module", params=RECIPES)
def run(request, tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "run"
    files = stand_in(request.param, tmp_path_factory.mktemp("data"), np.random.default_rng(0))
    overrides = [f"experiment={request.param}", f"folder={folder}", *SHORT, *ON_CPU, *files]
    config = compose("train", overrides)
    assert train(config) == 0
    return Run(request.param, to_plain(config), folder)


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_there_are_recipes_and_each_topic_has_a_readme_that_names_its_own():
    for recipe in RECIPES:
        topic = recipe.split("/")[0]
        readme = (TOPICS / topic / "README.md").read_text(encoding="utf-8")
        assert f"experiment={recipe}" in readme, f"{topic}/README.md does not name {recipe}"


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_described_for_the_list(recipe):
    """What it is. Data: which; whether they are downloaded; rough time on two cores."""
    text = describe(conf_folder() / "experiment" / f"{recipe}.yaml")
    assert re.fullmatch(
        r"[^.].+\. Data: .+; (no download|.+ to download); .*(second|minute|hour|time by size).*\.", text
    ), text


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_checks_and_passes_one_batch_of_everything(recipe, tmp_path):
    files = stand_in(recipe, _empty(tmp_path / "data"), np.random.default_rng(0))
    folder = tmp_path / "run"
    config = compose("train", [f"experiment={recipe}", "debug=fast", f"folder={folder}", *SHORT[1:], *ON_CPU, *files])
    assert train(config) == 0
    assert runs.read_metrics(folder)["steps"] >= 1


def test_each_metric_that_the_module_declares_is_measured(run):
    """Or the topic's README says, where it names the metric, when it is not."""
    declared = set(resolve(run.config["model"]["_target_"]).metrics)
    measured = runs.read_metrics(run.folder)
    readme = (TOPICS / run.recipe.split("/")[0] / "README.md").read_text(encoding="utf-8")
    for split in ("val", "test"):
        missing = {name for name in declared if f"{split}/{name}" not in measured["metrics"]}
        assert not [name for name in missing if f"`{name}`" not in readme], f"{split}: {sorted(missing)}"
    assert {name.partition("/")[2] for name in measured["directions"]} == declared


def test_a_run_folder_holds_config_checkpoints_metrics_and_log(run):
    for name in (runs.CONFIG, runs.METRICS, "checkpoints/best.ckpt", "checkpoints/last.ckpt", "run.log"):
        assert (run.folder / name).is_file(), name
    metrics = runs.read_metrics(run.folder)
    assert metrics["recipe"] == run.recipe
    assert any(name.startswith("test/") for name in metrics["metrics"])
    assert all(np.isfinite(value) for value in metrics["metrics"].values())


def test_the_dashboard_holds_what_the_module_declares(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.folder)).Reload()
    tags = events.Tags()
    texts = {tag.removesuffix("/text_summary") for tag in tags["tensors"]}
    held = {*tags["scalars"], *tags["images"], *texts}
    module = rebuild(load_checkpoint(runs.checkpoint_of(run.folder)))
    declared = EVERY_RUN_WRITES | set(module.dashboard)
    if len(module.optimized) > 1:
        declared -= {"train/lr"}
    assert declared <= held, f"missing: {sorted(declared - held)}"
    assert any((run.folder / "plots").glob("*.png"))


def test_a_checkpoint_predicts_as_the_module_that_was_saved(run, tmp_path):
    first, second = (rebuild(load_checkpoint(runs.checkpoint_of(run.folder, "last"))) for _ in range(2))
    with torch.no_grad():
        assert answers(first, tmp_path) == answers(second, tmp_path)
    assert first.spec == second.spec


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_micro_batches_give_the_gradient_of_one_batch(run, dtype, tolerance):
    """Whatever the partition: sums and weights add up, so that (sum of sums) / (sum of weights) is one batch's loss."""
    torch.manual_seed(0)
    module = build_whole(run.config, run.data).to(dtype).eval()  # dropout draws and BatchNorm's statistics aside
    batch = cast(module.drawn(run.data.sample("train", 12), 0), dtype)
    size = num_samples(batch)
    for part in module.optimized:
        whole = gradient(module, part, [batch])
        generator = torch.Generator().manual_seed(1)
        for _ in range(3):
            borders = sorted({0, size, *torch.randint(1, size, (3,), generator=generator).tolist()})
            sizes = [stop - start for start, stop in pairwise(borders)]
            parts = gradient(module, part, cut(batch, sizes))
            assert torch.linalg.vector_norm(parts - whole) <= tolerance * torch.linalg.vector_norm(whole), part


def _twin(recipe: str) -> str:
    """The first recipe, by name, of the same model config: one of them is enough to export."""
    models = {}
    for name in RECIPES:
        text = (conf_folder() / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
        chosen = re.search(r"override /model: (\S+)", text)
        models[name] = chosen[1] if chosen else name
    return next(name for name in RECIPES if models[name] == models[recipe])


@pytest.mark.parametrize("export", [export_onnx, export_torch])
def test_the_exported_network_agrees_with_torch(run, export, tmp_path):
    if (twin := _twin(run.recipe)) != run.recipe:
        pytest.skip(f"exported as {twin}")
    module = rebuild(load_checkpoint(runs.checkpoint_of(run.folder)))
    path = tmp_path / "network"
    assert export(module, path) <= 1e-3
    assert path.stat().st_size > 0
