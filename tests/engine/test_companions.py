"""Runs beside a run: found by address, trained where they are missing, frozen, and never part of what is saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from engine.toys import Regressor
from tenfold.commands.train import run as train
from tenfold.config.compose import compose
from tenfold.engine import companions
from tenfold.errors import UserError

IRIS = "classification/iris"
SHORT = ["threads=1", "trainer.max_epochs=1", "callbacks.progress=null", "trainer.accelerator=cpu"]


class Student(Regressor):
    companions = ("teacher",)


def config_of(address: str | None, outputs: Path):
    return OmegaConf.create(
        {
            "model": {"_target_": f"{__name__}.Student", "teacher": address},
            "outputs": str(outputs),
            "trainer": {"accelerator": "cpu"},
            "threads": 1,
        }
    )


@pytest.fixture(scope="module")
def iris(tmp_path_factory) -> Path:
    """The outputs folder that holds a finished run of iris."""
    outputs = tmp_path_factory.mktemp("outputs")
    assert train(compose("train", [f"experiment={IRIS}", f"outputs={outputs}", *SHORT])) == 0
    return outputs


def test_an_address_is_settled_to_a_folder(iris):
    folder = companions.newest_finished(IRIS, iris)
    assert folder is not None
    for address in (f"recipe:{IRIS}", "latest", str(folder)):
        config = config_of(address, iris)
        companions.check_companions(OmegaConf.to_container(config))
        companions.settle(config)
        assert config.model.teacher == str(folder)


def test_a_recipe_without_a_finished_run_is_trained(monkeypatch, tmp_path, iris):
    """The command that trains it names the recipe and the same outputs, and leaves the ranks and the sweep behind."""
    seen = {}

    def run(command, env):
        seen["command"], seen["env"] = command, env
        folder = companions.newest_finished(IRIS, iris)
        (tmp_path / IRIS).mkdir(parents=True)
        (tmp_path / IRIS / "1").symlink_to(folder)
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr(companions.subprocess, "run", run)
    monkeypatch.setenv("TENFOLD_SWEEP", "somewhere")
    config = config_of(f"recipe:{IRIS}", tmp_path)
    companions.settle(config)
    assert config.model.teacher == str(tmp_path / IRIS / "1")
    assert f"experiment={IRIS}" in seen["command"] and f"outputs={tmp_path}" in seen["command"]
    assert "TENFOLD_SWEEP" not in seen["env"]


def test_a_companion_is_frozen_and_not_part_of_the_module(iris):
    module = Student()
    module.config = OmegaConf.to_container(config_of("latest", iris))
    names = set(module.state_dict())
    companions.join(module)
    teacher = module.companion("teacher")
    module.train()
    assert not teacher.training and not any(p.requires_grad for p in teacher.parameters())
    assert set(module.state_dict()) == names
    module.double()
    assert module.companion("teacher").dtype == torch.float64


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("recipe:classification/irs", "model.teacher: there is no recipe 'classification/irs'.*classification/iris"),
        ("nowhere", "model.teacher: nowhere is no run folder"),
        ("latest", "model.teacher: latest was asked for, but there is no run"),
    ],
)
def test_an_address_of_nothing_is_told_before_anything_is_read(address, message, tmp_path):
    with pytest.raises(UserError, match=message):
        companions.check_companions(OmegaConf.to_container(config_of(address, tmp_path)))


def test_none_is_no_companion(tmp_path):
    assert list(companions.addresses(config_of(None, tmp_path))) == []
    with pytest.raises(UserError, match="model.teacher: found null, expected a run's address"):
        Student().companion("teacher")


def test_a_run_that_kept_no_checkpoint_is_not_finished(iris, tmp_path, capsys):
    """`debug=fast` leaves metrics of a step or two, and nothing to load."""
    newest, folder = companions.newest_finished(IRIS, iris), tmp_path / IRIS
    folder.mkdir(parents=True)
    (folder / "1").symlink_to(newest)
    fast = ["debug=fast", f"folder={folder / '2'}"]
    assert train(compose("train", [f"experiment={IRIS}", f"outputs={tmp_path}", *SHORT, *fast])) == 0
    assert (folder / "2" / "metrics.json").is_file()
    capsys.readouterr()
    config = config_of(f"recipe:{IRIS}", tmp_path)
    companions.settle(config)
    assert config.model.teacher == str(folder / "1")
    assert f"model.teacher: {folder / '1'} (val/accuracy 0." in capsys.readouterr().out
