"""FSDP in one process: what is shared out, what is put back, what is refused. For two, see `test_ranks`."""

from __future__ import annotations

import lightning as L
import pytest
import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from engine.toys import Gan, Regressor, ToyData, draw_weights, flat, train
from tenfold.engine.ranks import own_group
from tenfold.engine.sharding import Sharded
from tenfold.errors import UserError


@pytest.fixture(autouse=True)
def _group():
    with own_group():
        yield


class Seen(L.Callback):
    """What FSDP has taken by itself, and whether weights, momenta and gradients are shares, in the first step."""

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        self.units = [type(m).__name__ for m in pl_module.modules() if isinstance(m, FSDPModule)]

    def on_train_batch_end(self, trainer, pl_module, *_) -> None:
        state = [value["momentum_buffer"] for value in trainer.optimizers[0].state.values()]
        self.shares = all(isinstance(value, DTensor) for value in (*pl_module.parameters(), *state))


class Twice(nn.Module):
    """A block whose layer is used by its forward pass and beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.ModuleDict({"inner": nn.Linear(3, 3)}), Block()])
        self.head = nn.Linear(3, 1)

    def forward(self, x):
        return self.head(self.layers[1](x) + self.layers[1].linear(x) + self.layers[0]["inner"](x))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        return self.linear(x).tanh()


@pytest.mark.parametrize(
    "make, block, units",
    [
        (Regressor, 1, ["FSDPLinear", "FSDPLinear"]),
        (Regressor, 20, ["FSDPLinear"]),
        (Regressor, 1000, []),
        (lambda: Regressor(Twice()), 1, []),
        (Gan, 1, []),
    ],
    ids=["every layer", "the larger layer", "none", "one used in parts", "parts in turn"],
)
def test_large_blocks_are_gathered_alone_where_they_can_be(make, block, units):
    seen, module, expected = Seen(), make(), make()
    train(module, ToyData(9, 4), strategy=Sharded(block), callbacks=[seen])
    assert seen.units == units and seen.shares
    train(expected, ToyData(9, 4))
    assert torch.equal(flat(module), flat(expected))


def test_the_modules_own_parts_come_back_with_the_weights_that_were_learned():
    module = Regressor()
    draw_weights(module, seed=1)
    network, before = module.network, flat(module)
    train(module, ToyData(9, 4), strategy=Sharded(1))
    assert module.network is network and not any(isinstance(m, FSDPModule) for m in module.modules())
    assert all(type(parameter) is nn.Parameter for parameter in module.parameters())
    assert not torch.equal(flat(module), before)


def test_channels_last_is_laid_out_in_rows():
    def image() -> Regressor:
        """A sequence `[5, 3]` as an image of three channels."""
        layers = [nn.Unflatten(1, (5, 1)), Transposed(), nn.Conv2d(3, 4, 1), nn.Conv2d(4, 1, 1), nn.Flatten(1)]
        return Regressor(nn.Sequential(*layers, nn.Unflatten(1, (5, 1))).to(memory_format=torch.channels_last))

    class Transposed(nn.Module):
        def forward(self, x):
            return x.movedim(3, 1)

    found, expected = image(), image()
    train(found, ToyData(9, 4), strategy=Sharded(1))
    train(expected, ToyData(9, 4))
    assert torch.allclose(flat(found), flat(expected), rtol=1e-5)


def test_a_parameter_that_is_a_single_number_is_refused():
    network = nn.Sequential(nn.Linear(3, 1))
    network.register_parameter("scale", nn.Parameter(torch.tensor(1.0)))
    with pytest.raises(UserError, match=r"fsdp cannot share out network\.scale, a single number; expected ddp"):
        train(Regressor(network), ToyData(9, 4), strategy=Sharded())
