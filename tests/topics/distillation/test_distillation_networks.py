"""Features by a layer's name, and a regressor that takes its shape from the networks or from a checkpoint."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.parameter import UninitializedParameter

from tenfold.errors import UserError
from tenfold.topics.classification.networks import CNN
from tenfold.topics.distillation.networks import Guided, Regressor, at_one_size, layer_of, logits_and_features


def test_features_are_what_the_layer_gave_in_the_same_pass():
    network = CNN(1, 8, 3, channels=(4, 5)).eval()
    images = torch.randn(2, 1, 8, 8)
    logits, features = logits_and_features(network, layer_of(network, "blocks.0", "key"), images)
    assert torch.equal(features, network.blocks[0](images))
    assert torch.equal(logits, network(images))
    assert not network.blocks[0]._forward_hooks


def test_an_unknown_layer_is_told_with_the_nearest():
    with pytest.raises(UserError, match=r"model.hint_layer: CNN has no layer 'block.1'; did you mean 'blocks.1'"):
        layer_of(CNN(1, 8, 3, channels=(4, 5)), "block.1", "model.hint_layer")


def test_the_regressor_is_a_one_by_one_convolution():
    regressor = Regressor()
    regressor.connect(3, 5)
    features = torch.randn(2, 3, 4, 4)
    expected = F.conv2d(features, regressor.weight.detach()[:, :, None, None])
    torch.testing.assert_close(regressor(features), expected)
    torch.testing.assert_close(regressor(features[:, :, 0, 0]), F.linear(features[:, :, 0, 0], regressor.weight))


def test_the_regressor_takes_its_shape_from_a_checkpoint_and_keeps_its_weights():
    saved = Guided(nn.Linear(2, 2))
    saved.regressor.connect(3, 5)
    fresh = Guided(nn.Linear(2, 2))
    assert isinstance(fresh.regressor.weight, UninitializedParameter)
    fresh.load_state_dict(saved.state_dict())
    fresh.regressor.connect(3, 5)
    assert torch.equal(fresh.regressor.weight, saved.regressor.weight)
    with pytest.raises(UserError, match="its hint has 6 channels, expected 5 as in training"):
        fresh.regressor.connect(3, 6)


def test_the_larger_features_are_averaged_to_the_smaller():
    large, small = torch.randn(2, 3, 8, 8), torch.randn(2, 5, 4, 4)
    first, second = at_one_size(large, small)
    torch.testing.assert_close(first, F.avg_pool2d(large, 2))
    assert torch.equal(second, small)
    with pytest.raises(UserError, match=r"hint_layer: features \[2, 3, 8, 8\] of the student and \[2, 5\]"):
        at_one_size(large, torch.randn(2, 5))
