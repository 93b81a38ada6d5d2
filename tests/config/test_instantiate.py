"""What a `_target_` may name, and what is said of one that it may not."""

from __future__ import annotations

import inspect

import pytest

from tenfold.config.instantiate import instantiate, parameters_of, require_allowed, resolve, signature_of, targets
from tenfold.errors import UserError


class Parent:
    def __init__(self, size: int, colour: str = "red") -> None:
        self.size, self.colour = size, colour


class Child(Parent):
    def __init__(self, depth: int, **more) -> None:
        super().__init__(size=1, **more)
        self.depth = depth


def refuses(low: int) -> int:
    raise UserError(f"low: found {low}, expected more")


HERE = __name__


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """This module by its name, which importlib mode does not give it everywhere."""
    import sys

    monkeypatch.setitem(sys.modules, HERE, sys.modules.get(HERE) or inspect.getmodule(Parent))


def test_instantiate_builds_children_first_and_adds_what_is_supplied():
    built = instantiate(
        {"_target_": f"{HERE}.Child", "depth": {"_target_": f"{HERE}.Parent", "size": 3}}, colour="blue"
    )
    assert isinstance(built, Child)
    assert (built.depth.size, built.colour) == (3, "blue")


def test_lists_reach_a_constructor_as_plain_lists():
    assert type(instantiate({"_target_": f"{HERE}.Parent", "size": [1, 2]}).size) is list


def test_a_constructors_own_words_come_out_as_they_are():
    with pytest.raises(UserError, match=r"^low: found 1, expected more$"):
        instantiate({"_target_": f"{HERE}.refuses", "low": 1})
    with pytest.raises(UserError, match=r"^low: found 2, expected more$"):
        instantiate({"_target_": f"{HERE}.Parent", "size": {"_target_": f"{HERE}.refuses", "low": 2}})


def test_a_call_that_does_not_fit_names_the_target():
    with pytest.raises(UserError, match=rf"^{HERE}\.Parent: .*size"):
        instantiate({"_target_": f"{HERE}.Parent"})


@pytest.mark.parametrize("target, parts", [
    ("torch.nn.Linera", ["torch.nn has no 'Linera'", "did you mean 'Linear'?"]),
    ("torch.optm.SGD", ["torch has no 'optm'", "did you mean 'optim'?"]),
    ("trch.nn.Linear", ["there is no package 'trch'", "did you mean 'torch'?"]),
    ("Linear", ["there is no package 'Linear'"]),
])  # fmt: skip
def test_a_name_that_does_not_exist(target, parts):
    with pytest.raises(UserError) as caught:
        resolve(target, "model.network._target_")
    assert str(caught.value).startswith(f"model.network._target_: {target}")
    for part in parts:
        assert part in str(caught.value)


def test_a_module_that_needs_a_package_which_is_not_installed(tmp_path, monkeypatch):
    (tmp_path / "wants_more.py").write_text("import no_such_package\nclass Net: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="needs the package 'no_such_package'"):
        resolve("wants_more.Net")


def test_the_parameters_of_parents_count_where_they_are_handed_on():
    found = signature_of(f"{HERE}.Child")
    assert set(found) == {"depth", "size", "colour"}
    assert found["depth"].default is inspect.Parameter.empty
    assert found["size"].default is None  # the child may give it itself
    assert set(parameters_of(Parent)) == {"size", "colour"}
    assert set(parameters_of(refuses)) == {"low"}


def test_targets_are_found_at_any_depth():
    config = {"a": {"_target_": "x", "b": [{"_target_": "y"}, {"c": {"_target_": "z"}}]}, "d": 1}
    assert [(path, node["_target_"]) for path, node in targets(config)] == [
        ("a", "x"),
        ("a.b[0]", "y"),
        ("a.b[1].c", "z"),
    ]


@pytest.mark.parametrize("target", [
    "torch.nn.Linear",
    "torch.optim.AdamW",
    "torch.optim.lr_scheduler.CosineAnnealingLR",
    "torchvision.models.resnet18",
    "lightning.pytorch.callbacks.ModelCheckpoint",
    "lightning.pytorch.loggers.CSVLogger",
    "tenfold.topics.classification.networks.CNN",
    "tenfold.data.images.digits.Digits",
    "tenfold.engine.schedules.warmup_decay",
])  # fmt: skip
def test_building_blocks_are_allowed_in_a_file(target):
    require_allowed({"model": {"network": {"_target_": target}}})


@pytest.mark.parametrize("target", [
    "os.system",
    "builtins.eval",
    "builtins.exec",
    "subprocess.run",
    "subprocess.Popen",
    "pickle.loads",
    "importlib.import_module",
    "hydra.utils.instantiate",
    "torch.os.system",
    "torch.hub.load",
    "torch.load",
    "torch.save",
    "torch.utils.cpp_extension.load_inline",
    "torch.serialization.os.system",
    "torch.hub.sys",
    "torch.nn",
    "torchvision.datasets.utils.download_url",
    "tenfold.cli.main",
    "tenfold.cli.os.system",
    "tenfold.config.instantiate.instantiate",
    "tenfold.config.instantiate.hydra_instantiate",
    "tenfold.engine.checkpoint.load_checkpoint",
    "tenfold.engine.processes.subprocess.Popen",
])  # fmt: skip
def test_what_could_run_code_is_refused_in_a_file(target):
    with pytest.raises(UserError, match=r"^model\.network\._target_: .* is refused"):
        require_allowed({"model": {"network": {"_target_": target}}})


@pytest.mark.parametrize("config, path", [
    ({"model": {"layers": [1, {"_target_": "os.system"}]}}, r"model\.layers\[1\]\._target_"),
    ({"model": "${oc.decode:\"{_target_: os.system, command: ls}\"}"}, "model"),
    ({"model": {"_target_": "${oc.env:HOME}"}}, r"model\._target_"),
    ({"model": [["${oc.env:SECRET}"]]}, r"model\[0\]\[0\]"),
    ({"model": {"${oc.env:HOME}": 1}}, r"model\..*"),
])  # fmt: skip
def test_neither_depth_nor_an_interpolation_hides_it(config, path):
    with pytest.raises(UserError, match=rf"^{path}: .* is refused"):
        require_allowed(config)


def test_a_person_can_allow_packages_of_their_own(monkeypatch, tmp_path):
    (tmp_path / "mine.py").write_text("class Net: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="TENFOLD_ALLOW=package"):
        require_allowed({"_target_": "mine.Net"})
    monkeypatch.setenv("TENFOLD_ALLOW", "other,mine")
    require_allowed({"_target_": "mine.Net"})
    with pytest.raises(UserError, match="is refused"):
        require_allowed({"_target_": "os.system"})
