"""What the configs of the topic promise beyond the contract."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tenfold.config.check import check_batch, check_config
from tenfold.config.compose import compose, to_plain
from tenfold.engine.build import build_data, build_module


def module_of(*overrides: str):
    config = compose("train", [*overrides, "folder=run"])
    check_config(config)
    plain = to_plain(config)
    data = build_data(plain)
    data.setup()
    module = build_module(plain, data.spec)
    check_batch(module, data)
    return module, plain


def test_the_plain_twin_differs_from_its_recipe_in_the_shortcuts_alone():
    residual, plain = (
        to_plain(compose("train", [f"experiment=resnet/{name}", "folder=run"]))
        for name in ("mnist5k_resnet20", "plain20_mnist5k")
    )
    assert (residual["model"]["network"].pop("shortcuts"), plain["model"]["network"].pop("shortcuts")) == (True, False)
    assert residual.pop("recipe") == "resnet/mnist5k_resnet20" and plain.pop("recipe") == "resnet/plain20_mnist5k"
    assert residual == plain


@pytest.mark.parametrize("depth", [20, 56])
def test_a_depth_is_one_override_away(depth):
    module, _ = module_of("experiment=resnet/mnist5k_resnet20", f"model.network.depth={depth}")
    assert sum(p.numel() for p in module.network.parameters()) == {20: 269_722, 56: 853_018}[depth] - 2 * 16 * 9


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_folders_of_grey_and_of_colour_pictures(mode, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(10):
            pixels = rng.integers(0, 256, (40, 40) if mode == "L" else (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    module, plain = module_of("experiment=resnet/folder", f"data.path={tmp_path}", "data.image_size=32")
    assert module.network.resnet.conv1.in_channels == {"L": 1, "RGB": 3}[mode]
    assert torch.isfinite(module.network(*module.example_inputs())).all()
    assert plain["model"]["network"]["name"] == "resnet18"


def test_torchvisions_own_function_by_name_gets_the_number_of_classes():
    """Named as it is, for pictures of three channels."""
    config = to_plain(compose("train", ["experiment=resnet/mnist5k_resnet20", "folder=run"]))
    config["model"]["network"] = {"_target_": "torchvision.models.resnet50"}
    data = build_data(config)
    data.setup()
    module = build_module(config, data.spec)
    assert module.network.fc.out_features == 10
