"""Copies cut differently end where the undivided one ends; the mean of means does not."""

from __future__ import annotations

import json

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tenfold.commands.train import run as train
from tenfold.config.compose import compose
from tenfold.engine.checkpoint import load_checkpoint, rebuild
from tenfold.errors import UserError
from tenfold.topics.gradient_accumulation.copies import plan
from tenfold.topics.gradient_accumulation.networks import CausalCNN, SmallCNN

QUICK = ["threads=1", "trainer.accelerator=cpu", "callbacks.progress=null", "trainer.log_every_n_steps=2"]


def finished(recipe: str, folder, *overrides: str):
    """Train; the metrics of metrics.json, and what TensorBoard holds."""
    config = compose("train", [f"experiment=gradient_accumulation/{recipe}", f"folder={folder}", *QUICK, *overrides])
    assert train(config) == 0
    return json.loads((folder / "metrics.json").read_text())["metrics"], EventAccumulator(str(folder)).Reload()


@pytest.fixture(scope="module")
def text_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text") / "run"
    overrides = ["trainer.limit_train_batches=8", "data.max_length=40", "data.max_size=200", "data.batch_size=16"]
    overrides += ["model.micro_batch_sizes=[1,4,16]"]
    return folder, *finished("variable_length", folder, *overrides)


def test_copies_end_with_the_weights_of_the_undivided_one_and_the_mean_of_means_elsewhere(text_run):
    _, metrics, _ = text_run
    for size in (1, 4, 16):
        assert metrics[f"val/distance/micro_{size}"] <= 1e-5
    for size in (1, 4):
        assert metrics[f"val/distance/mean_of_means_{size}"] > 100 * metrics[f"val/distance/micro_{size}"]
        assert metrics[f"val/distance/mean_of_means_{size}"] > 1e-4
    assert metrics["val/distance/mean_of_means_16"] <= 1e-5  # a batch of 16 in one part has one mean


def test_smaller_micro_batches_keep_fewer_activations(text_run):
    _, metrics, _ = text_run
    sizes = [metrics[f"test/activations_mib/{name}"] for name in ("whole", "micro_16", "micro_4", "micro_1")]
    assert sizes[0] == sizes[1] > 2 * sizes[2] > 4 * sizes[3] > 0


def test_scalars_are_written_over_training(text_run):
    _, metrics, events = text_run
    drift = events.Scalars("study/distance/mean_of_means_1")
    assert [point.step for point in drift] == [2, 4, 6, 8]
    assert drift[-1].value == pytest.approx(metrics["val/distance/mean_of_means_1"])
    assert events.Scalars("study/milliseconds/micro_1")[-1].value > 0
    assert events.Scalars("train/lr_network")


def test_the_table_says_what_metrics_json_says(text_run):
    folder, metrics, _ = text_run
    rows = [line.split(" | ") for line in (folder / "plots" / "study_table.md").read_text().splitlines()]
    cells = {row[0].strip("| "): row for row in rows}
    assert cells["mean_of_means_4"][1] == f"{metrics['test/distance/mean_of_means_4']:.1e}"
    assert cells["whole"][2] == f"{metrics['test/loss']:.4f}"
    assert cells["micro_4"][2] == f"{metrics['test/loss/micro_4']:.4f}"
    assert len(rows) == 2 + 7


def test_the_checkpoint_alone_gives_distances(text_run):
    folder, metrics, _ = text_run
    module = rebuild(load_checkpoint(folder / "checkpoints" / "last.ckpt"))
    assert module.distances()["mean_of_means_1"] == pytest.approx(metrics["val/distance/mean_of_means_1"], rel=1e-4)


def test_a_resumed_study_keeps_what_it_has_seen(text_run, tmp_path):
    folder, _, _ = text_run
    module = rebuild(load_checkpoint(folder / "checkpoints" / "last.ckpt"))
    module.on_load_checkpoint(load_checkpoint(folder / "checkpoints" / "last.ckpt"))
    assert module.history.steps == [2, 4, 6, 8]
    assert module.history.costs("whole").keys() == {"milliseconds", "activations_mib"}


def test_ragged_cuts_of_images_are_exact_in_float64(tmp_path):
    overrides = [
        "data=images/digits",
        "data.batch_size=50",
        "model.micro_batch_sizes=[7]",
        "trainer.limit_train_batches=6",
    ]
    overrides += ["trainer.max_epochs=1", "trainer.precision=64-true", "model.network.channels=[8,8]"]
    metrics, _ = finished("exact", tmp_path / "run", *overrides)
    assert metrics["val/distance/micro_7"] <= 1e-12
    assert metrics["val/distance/mean_of_means_7"] > 1e-4  # 50 samples are seven times 7, and one that counts for 7


def test_batch_norm_is_exact_in_one_part_or_with_the_gradient_of_the_whole(tmp_path):
    overrides = ["data=images/digits", "data.batch_size=48", "model.micro_batch_sizes=[4,48]", "trainer.max_epochs=1"]
    overrides += ["trainer.limit_train_batches=6", "model.network.channels=[8,8]"]
    metrics, _ = finished("batch_norm", tmp_path / "run", *overrides)
    distance = {name.rpartition("/")[2]: value for name, value in metrics.items() if "val/distance" in name}
    assert distance["micro_48"] <= 1e-5 and distance["whole_statistics_48"] <= 1e-5
    assert distance["whole_gradient_4"] <= 1e-4
    assert 1e-3 < distance["whole_statistics_4"] < distance["micro_4"]


def test_one_step_is_enough_for_pictures(tmp_path):
    overrides = ["data=images/digits", "trainer.max_steps=1", "model.micro_batch_sizes=[16]"]
    metrics, _ = finished("exact", tmp_path / "run", *overrides)
    assert "test/milliseconds/whole" not in metrics  # the first step is weighed, not timed
    assert (tmp_path / "run" / "plots" / "study_costs.png").is_file()


@pytest.mark.parametrize(
    "override, told",
    [
        ("model.micro_batch_sizes=[0,4]", "model.micro_batch_sizes: found 0, expected at least 1"),
        ("model.micro_batch_sizes=[4,4]", "give 4 copies, 2 of them different"),
        ("model.micro_batch_sizes=[200]", "200 is larger than data.batch_size: 128"),
        ("model.variants=[micros]", "model.variants"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(override, told, tmp_path):
    with pytest.raises(UserError) as raised:
        finished("exact", tmp_path / "run", override)
    assert told in str(raised.value) and "\n" not in str(raised.value)


def test_the_nearest_variant_is_named():
    with pytest.raises(UserError, match="mean_of_means"):
        plan(["mean_of_mean"], [1])


def test_the_language_model_sees_neither_later_tokens_nor_padding():
    torch.manual_seed(0)
    network = CausalCNN(20).eval()
    tokens = torch.randint(1, 20, (2, 9))
    changed = tokens.clone()
    changed[:, 5] = (changed[:, 5] + 1).clamp(max=19) - 2 * (changed[:, 5] == 19).long()
    padded = torch.nn.functional.pad(tokens, (0, 3))
    with torch.no_grad():
        logits = network(tokens)
        assert torch.equal(network(changed)[:, :5], logits[:, :5])
        assert not torch.equal(network(changed)[:, 5], logits[:, 5])
        torch.testing.assert_close(network(padded)[:, :9], logits)


@pytest.mark.parametrize("size", [8, (28, 21), 5])
def test_the_image_network_takes_any_size(size):
    height, width = (size, size) if isinstance(size, int) else size
    assert SmallCNN(3, size, 4, norm="batch")(torch.randn(2, 3, height, width)).shape == (2, 4)
