"""The networks are those of the papers: parameters as published, shortcuts without any, plain twins but for those."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from tenfold.errors import UserError
from tenfold.topics.resnet.networks import BasicBlock, ResNet, TorchvisionResNet


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("depth", "parameters", "published"),  # in millions, table 6 of the paper
    [(20, 269_722, 0.27), (32, 464_154, 0.46), (44, 658_586, 0.66), (56, 853_018, 0.85), (110, 1_727_962, 1.7)],
)
def test_parameters_are_those_published(depth, parameters, published):
    network = ResNet(3, 10, depth)
    assert count(network) == count(ResNet(3, 10, depth, shortcuts=False)) == parameters
    assert count(ResNet(3, 10, depth, stem="pool", zero_init=True)) == parameters
    assert round(parameters / 1e6, len(str(published)) - 2) == published
    layers = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    assert len(layers) == depth


@pytest.mark.parametrize(
    ("depth", "near"), [(0, "8 or 14"), (2, "8 or 14"), (18, "14 or 20"), (21, "20 or 26"), (57, "56 or 62")]
)
def test_a_depth_that_is_no_6n_plus_2_is_refused(depth, near):
    with pytest.raises(UserError, match=rf"depth: found {depth}, expected 6n \+ 2, such as {near}$"):
        ResNet(3, 10, depth)


def test_an_unknown_stem_is_refused():
    with pytest.raises(UserError, match="stem: found 'half', expected full or pool"):
        ResNet(3, 10, stem="half")  # type: ignore[arg-type]


def test_the_shortcut_is_option_a():
    """With a residual of zero a block gives its positive input, every second pixel, channels of zeros behind."""
    block = BasicBlock(4, 6, stride=2, shortcut=True).eval()
    nn.init.zeros_(block.norm2.weight)
    x = torch.randn(2, 4, 7, 8)
    expected = torch.cat([x[:, :, ::2, ::2].relu(), torch.zeros(2, 2, 4, 4)], dim=1)
    assert torch.equal(block(x), expected)


def test_a_block_adds_its_residual_to_its_input():
    torch.manual_seed(0)
    with_, without = (BasicBlock(5, 5, 1, shortcut).double().train() for shortcut in (True, False))
    without.load_state_dict(with_.state_dict())
    x = torch.randn(3, 5, 6, 6, dtype=torch.float64)

    def norm(y, layer):
        centred = y - y.mean((0, 2, 3), keepdim=True)
        return centred / (centred.square().mean((0, 2, 3), keepdim=True) + layer.eps).sqrt()

    inner = norm(F.conv2d(x, with_.conv1.weight, padding=1), with_.norm1).relu()
    residual = norm(F.conv2d(inner, with_.conv2.weight, padding=1), with_.norm2)
    torch.testing.assert_close(with_(x), (residual + x).relu())
    torch.testing.assert_close(without(x), residual.relu())


def test_zero_init_starts_from_the_shortcuts_alone_but_never_kills_the_plain_twin():
    images = torch.randn(4, 1, 28, 28)
    network = ResNet(1, 10, 20, zero_init=True)
    stem = network.norm(network.conv(images)).relu()
    assert torch.equal(network.stages[0](stem), stem)
    plain = ResNet(1, 10, 20, shortcuts=False, zero_init=True)
    assert plain(images).std(0).min() > 0


@pytest.mark.parametrize("stem", ["full", "pool"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 33, 17)])
def test_it_takes_images_of_any_size_in_any_memory_layout(shape, stem):
    network = ResNet(shape[0], 7, 8, stem=stem).eval()
    images = torch.randn(2, *shape)
    logits = network(images)
    assert logits.shape == (2, 7)
    torch.testing.assert_close(network(images.to(memory_format=torch.channels_last)), logits)


def test_the_stages_see_the_sizes_of_the_paper():
    sizes = []
    network = ResNet(3, 10, 8).eval()
    for stage in network.stages:
        stage.register_forward_hook(lambda module, given, output: sizes.append(tuple(output.shape[1:])))
    network(torch.randn(1, 3, 32, 32))
    assert sizes == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]


def test_gradients_reach_the_first_layer_of_a_deep_residual_network_evenly():
    """In the plain twin of depth 56 the first block's gradient is far from the last one's in size."""

    def spread(shortcuts: bool) -> float:
        torch.manual_seed(0)
        network = ResNet(1, 10, 56, shortcuts=shortcuts, stem="pool")
        F.cross_entropy(network(torch.randn(16, 1, 16, 16)), torch.arange(16) % 10).backward()
        first, last = (network.stages[i][j].conv1.weight.grad.norm() for i, j in ((0, 0), (2, -1)))
        return float((first / last).log().abs())

    assert spread(True) < spread(False)


@pytest.mark.parametrize("channels", [1, 3])
def test_torchvisions_networks_take_grey_and_colour(channels):
    network = TorchvisionResNet(channels, 5, "resnet18").eval()
    assert network(torch.randn(2, channels, 40, 40)).shape == (2, 5)
    whole = torchvision.models.resnet18(num_classes=5)
    assert count(network) == count(whole) - (3 - channels) * 64 * 7 * 7


def test_with_three_channels_it_is_torchvisions_own_network():
    torch.manual_seed(0)
    network = TorchvisionResNet(3, 4, "resnet18").eval()
    theirs = torchvision.models.resnet18(num_classes=4).eval()
    theirs.load_state_dict(network.resnet.state_dict())
    images = torch.randn(2, 3, 33, 33)
    torch.testing.assert_close(network(images), theirs(images))


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(UserError, match=r"name: found 'resnet19', expected one of .*did you mean 'resnet1"):
        TorchvisionResNet(3, 10, "resnet19")
