"""A checkpoint holds plain types only, and what is not one of ours is told in one line."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from engine.toys import Regressor, ToyData, train
from tenfold.config.instantiate import require_allowed
from tenfold.config.spec import spec_from_dict
from tenfold.engine.checkpoint import load_checkpoint, load_weights, rebuild
from tenfold.errors import UserError


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    module = Regressor(recipe="toys/regressor", model={"_target_": "torch.nn.Linear"})
    train(module, ToyData(8, 8), folder, callbacks=[ModelCheckpoint(folder, "last")], enable_checkpointing=True)
    return folder / "last.ckpt"


def test_it_loads_with_weights_only(saved):
    assert torch.load(saved, weights_only=True)["tenfold"]["config"]["recipe"] == "toys/regressor"
    module = Regressor()
    load_weights(module, load_checkpoint(saved))


class Payload:
    def __reduce__(self):
        return os.mkdir, (str(Path(os.environ["TENFOLD_OUTPUTS"]) / "ran"),)


def test_pickled_code_is_refused_and_not_run(tmp_path):
    (tmp_path / "outputs").mkdir()
    torch.save({"tenfold": {"config": {}, "spec": {}}, "extra": Payload()}, tmp_path / "bad.ckpt")
    (tmp_path / "pickle.ckpt").write_bytes(pickle.dumps(Payload()))
    for name in ("bad.ckpt", "pickle.ckpt"):
        with pytest.raises(UserError, match=rf"{name}: holds pickled code"):
            load_checkpoint(tmp_path / name)
    assert not (tmp_path / "outputs" / "ran").exists()


@pytest.mark.parametrize("kept", [0, 1, 100, -1, -200])
def test_a_truncated_file_is_told(saved, tmp_path, kept):
    (tmp_path / "short.ckpt").write_bytes(saved.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"short.ckpt: (truncated|holds pickled code or is no checkpoint)"):
        load_checkpoint(tmp_path / "short.ckpt")


@pytest.mark.parametrize(
    "contents", [{"state_dict": {}}, [1, 2], torch.ones(3), {"tenfold": 1}, {"tenfold": {"config": {}}}]
)
def test_a_foreign_file_is_told(tmp_path, contents):
    torch.save(contents, tmp_path / "foreign.ckpt")
    with pytest.raises(UserError, match="not a Tenfold checkpoint"):
        load_checkpoint(tmp_path / "foreign.ckpt")


def test_text_and_nothing(tmp_path):
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(UserError, match="text.ckpt"):
        load_checkpoint(tmp_path / "text.ckpt")
    with pytest.raises(UserError, match="there is no such file"):
        load_checkpoint(tmp_path / "none.ckpt")


def test_another_networks_weights_are_told(saved):
    with pytest.raises(UserError, match=r"checkpoint of toys/regressor: its weights are of another network"):
        load_weights(Regressor(nn.Linear(3, 2)), load_checkpoint(saved))


def test_rebuilding_checks_the_model_and_the_spec(saved):
    checkpoint = load_checkpoint(saved)
    checkpoint["tenfold"]["config"]["model"] = {"_target_": "os.system"}
    with pytest.raises(UserError, match=r"'os.system' is refused"):
        rebuild(checkpoint)
    checkpoint["tenfold"]["config"]["model"] = {"_target_": "torch.nn.Linear"}
    checkpoint["tenfold"]["spec"] = {"_target_": "tenfold.data.images.spec.ImageSpec", "depth": 3}
    with pytest.raises(UserError, match=r"another version.*depth"):
        rebuild(checkpoint)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.run",
        "builtins.eval",
        "torch.os.system",
        "torch.hub.load",
        "torch.load",
        "torch.utils.data.DataLoader",
        "torch.multiprocessing.spawn",
        "torch.utils.cpp_extension.load_inline",
        "lightning.pytorch.utilities.model_helpers.is_overridden",
        "lightning.pytorch.cli.LightningCLI",
        "lightning.pytorch.trainer.trainer.os.system",
        "torchvision.datasets.utils.download_url",
        "tenfold.engine.runs.shutil.rmtree",
        "tenfold.engine.processes.run_in_processes",
        "hydra.utils.instantiate",
        "${oc.env:HOME}",
    ],
)
def test_what_is_no_building_block_is_refused(target):
    for config in ({"_target_": target}, {"deep": [{"er": {"_target_": target}}]}):
        with pytest.raises(UserError, match="is refused"):
            require_allowed(config)


@pytest.mark.parametrize(
    "target",
    [
        "torch.nn.Linear",
        "torch.optim.AdamW",
        "torch.optim.lr_scheduler.OneCycleLR",
        "torchvision.models.resnet18",
        "lightning.pytorch.callbacks.EarlyStopping",
        "lightning.pytorch.loggers.TensorBoardLogger",
        "tenfold.topics.classification.module.Classifier",
        "tenfold.engine.schedules.warmup_decay",
        "tenfold.engine.muon.Muon",
    ],
)
def test_building_blocks_pass(target):
    require_allowed({"a": {"_target_": target}})


@pytest.mark.parametrize(
    "target", ["", "os.system", "torch.nn.Linear", "tenfold.data.base.DataModule", "tenfold.no.Spec"]
)
def test_a_strangers_spec_is_refused(target):
    with pytest.raises(UserError, match="spec"):
        spec_from_dict({"_target_": target})
