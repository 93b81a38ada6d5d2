"""The teacher stays what it was, sees what the student sees, and is refused where it does not fit."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch

from tenfold.commands.train import run as train
from tenfold.config.compose import compose, to_plain
from tenfold.data.base import Labelled
from tenfold.data.images.spec import ImageSpec
from tenfold.engine.build import build_data, build_module, build_trainer, build_whole
from tenfold.engine.checkpoint import load_checkpoint, rebuild
from tenfold.errors import UserError
from tenfold.topics.classification.module import Classifier
from tenfold.topics.classification.networks import CNN
from tenfold.topics.distillation.losses import hints, soft_targets

SHORT = ["threads=1", "trainer.max_epochs=1", "trainer.limit_train_batches=3", "trainer.accelerator=cpu", "logger=none"]
QUIET = "callbacks.progress=null"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("teacher") / "run"
    config = compose(
        "train", ["experiment=classification/mnist5k", f"folder={folder}", *SHORT, "callbacks.progress=null"]
    )
    assert train(config) == 0
    return folder


def whole(recipe: str, teacher: Path, folder: Path, *overrides: str):
    recipe = f"experiment=distillation/mnist5k_{recipe}"
    quiet = ["callbacks=[]", *SHORT, f"folder={folder}", f"model.teacher={teacher}"]
    config = to_plain(compose("train", [recipe, *quiet, *overrides]))
    data = build_data(config)
    data.setup()
    return build_whole(config, data), data, config


@pytest.mark.parametrize("recipe", ["soft", "hints"])
def test_the_teacher_is_neither_trained_nor_changed_nor_saved(recipe, teacher, tmp_path):
    module, data, config = whole(recipe, teacher, tmp_path)
    before = copy.deepcopy(module.companion("teacher").state_dict())
    student = [parameter.clone() for parameter in module.network.parameters()]
    trainer = build_trainer(config, tmp_path)
    trainer.fit(module, datamodule=data)
    after = module.companion("teacher").state_dict()
    assert before.keys() == after.keys() and any(name.endswith("running_mean") for name in before)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(m.training for m in module.companion("teacher").modules())
    taught = {id(p) for p in module.companion("teacher").parameters()}
    optimized = {id(p) for group in trainer.optimizers[0].param_groups for p in group["params"]}
    assert optimized == {id(p) for p in module.network.parameters()} and not optimized & taught
    assert not any(torch.equal(a, b) for a, b in zip(student, module.network.parameters(), strict=True) if a.ndim > 1)
    trainer.save_checkpoint(tmp_path / "saved.ckpt", weights_only=True)
    saved = load_checkpoint(tmp_path / "saved.ckpt")["state_dict"]
    assert set(saved) == {"class_weights", *(f"network.{name}" for name in module.network.state_dict())}


@pytest.mark.parametrize("recipe", ["soft", "hints"])
def test_the_loss_is_the_weighted_sum_of_its_terms_on_one_view(recipe, teacher, tmp_path):
    module, data, _ = whole(recipe, teacher, tmp_path, "model.temperature=3", "model.soft_weight=0.7")
    module.eval()
    batch = data.sample("train", 6)
    sums, weights = module.losses(batch), module.weights(batch)
    logits, taught = module.network(batch.inputs), module.companion("teacher").network(batch.inputs)
    hard = torch.nn.functional.cross_entropy(logits, batch.labels, reduction="sum")
    torch.testing.assert_close(sums["cross_entropy"], module.hard_weight * hard)
    torch.testing.assert_close(sums["soft_targets"], 0.7 * soft_targets(logits, taught, 3.0))
    assert weights["soft_targets"] == weights["cross_entropy"] == 6
    if recipe == "hints":
        features = module.student.blocks[:2](batch.inputs)
        guide = module.companion("teacher").network.blocks[:2](batch.inputs)
        expected = module.hint_weight * hints(module.network.regressor(features), guide)
        torch.testing.assert_close(sums["hints"], expected)


def test_teacher_and_student_are_given_the_same_augmented_images(teacher, tmp_path):
    warp = "data.augment={_target_:tenfold.data.images.augment.Warp,degrees:10}"
    module, data, config = whole("soft", teacher, tmp_path, warp)
    seen: dict[str, list] = {"teacher": [], "student": []}
    for name, network in (("teacher", module.teacher), ("student", module.network)):
        network.register_forward_pre_hook(lambda net, inputs, name=name: seen[name].append(inputs[0]))
    config["trainer"]["limit_val_batches"] = 0
    build_trainer(config, tmp_path).fit(module, datamodule=data)
    assert len(seen["teacher"]) == len(seen["student"]) == 3
    assert all(torch.equal(*pair) for pair in zip(seen["teacher"], seen["student"], strict=True))
    plain = {image.numpy().tobytes() for image in data.sample("train", 3600).inputs}
    assert not any(image.numpy().tobytes() in plain for image in seen["student"][0])


def test_the_exported_student_has_no_regressor(teacher, tmp_path):
    module, _, _ = whole("hints", teacher, tmp_path)
    exported = getattr(module, module.exported)
    assert not any("regressor" in name for name in exported.state_dict())
    assert sum(p.numel() for p in exported.parameters()) <= 10_000


def test_a_student_answers_without_its_teacher(teacher, tmp_path):
    module, data, config = whole("hints", teacher, tmp_path)
    trainer = build_trainer(config, tmp_path)
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint(tmp_path / "saved.ckpt", weights_only=True)
    contents = load_checkpoint(tmp_path / "saved.ckpt")
    contents["tenfold"]["config"]["model"]["teacher"] = str(tmp_path / "gone")
    again = rebuild(contents)
    inputs = again.example_inputs()
    with torch.no_grad():
        assert again.predict_inputs(*inputs) == module.eval().predict_inputs(*inputs)


SPEC = ImageSpec(1, 28, 28, (0.13,), (0.3,), tuple("0123456789"))


def classifier(**changed) -> Classifier:
    spec = dataclasses.replace(SPEC, **changed)
    return Classifier(spec, CNN(spec.channels, (spec.height, spec.width), len(spec.class_names), channels=(4, 4)))


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (classifier(class_names=("cat", "dog")), "model.teacher: its classes are cat, dog; expected the data's, 0, 1"),
        (
            classifier(class_names=tuple("1234567890")),
            "model.teacher: its classes are 1, 2, .*; expected the data's, 0",
        ),
        (classifier(height=32), "model.teacher: trained on inputs whose height is 32; expected the data's, 28"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused_in_one_line(teacher, message, tmp_path):
    config = to_plain(compose("train", ["experiment=distillation/mnist5k_soft", f"folder={tmp_path}"]))
    student = build_module(config, SPEC)
    with pytest.raises(UserError, match=message) as error:
        student.welcome("teacher", teacher)
    assert "\n" not in str(error.value)


def test_a_teacher_of_another_split_is_warned_of(teacher, tmp_path):
    with pytest.warns(UserWarning, match=r"trained on another split of the data \(data.split_seed\)"):
        whole("soft", teacher, tmp_path, "data.split_seed=3")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.temperature=0", "model.temperature: found 0, expected above 0"),
        ("model.soft_weight=-1", "model.soft_weight: found -1, expected at least 0"),
        ("model.hint_weight=-1", "model.hint_weight: found -1, expected at least 0"),
        ("model.guided_layer=blocks.9", "model.guided_layer: CNN has no layer 'blocks.9'; did you mean 'blocks."),
        ("model.hint_layer=blocks.9", "model.hint_layer: CNN has no layer 'blocks.9'; did you mean 'blocks."),
    ],
)
def test_impossible_values_are_told_by_their_key(override, message, teacher, tmp_path):
    with pytest.raises(UserError, match=message):
        whole("hints", teacher, tmp_path, override)


def test_agreement_and_divergence_are_measured_against_the_teacher(teacher, tmp_path):
    module, _, _ = whole("soft", teacher, tmp_path)
    module.eval()
    torch.manual_seed(0)
    batch = Labelled(torch.randn(20, 1, 28, 28), torch.arange(20) % 10)
    with torch.no_grad():
        sums = module.evaluate(batch, "val")
        found = module.measure("val")
        logits, taught = module.network(batch.inputs), module.teacher(batch.inputs)
    assert set(sums) == {"cross_entropy"}, (
        "the validation loss is the student's own, comparable with one taught by none"
    )
    assert found["agreement"] == float((logits.argmax(1) == taught.argmax(1)).double().mean())
    assert found["teacher_accuracy"] == float((taught.argmax(1) == batch.labels).double().mean())
    assert found["divergence"] == pytest.approx(float(soft_targets(logits.double(), taught.double(), 1.0)) / 20)
