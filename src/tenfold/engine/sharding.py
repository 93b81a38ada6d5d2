"""Weights, gradients and optimizer state shared out over the devices (FSDP2, arXiv 2304.11277)."""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.trainer.states import TrainerStatus
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from tenfold.errors import UserError

BLOCK = 1_000_000  # parameters from which a repeated block is gathered by itself, not with the rest


class Root(nn.Module):
    """What FSDP takes for the network: all optimized parts, whose forward pass is a loss of theirs.

    So the weights are whole for as long as the loss is computed, whichever methods of the networks it calls.
    """

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts.values())

    def forward(self, function: Callable[[Any], Any], batch: Any) -> Any:
        return function(batch)


class Sharded(DDPStrategy):
    """Each device keeps its share of the optimized parts: rows of every weight, of its gradient and optimizer state.

    Large blocks (`block` parameters or more, in an `nn.Sequential` or `nn.ModuleList`) are gathered one by one in their
    forward and in the backward pass; what remains is gathered once a pass. So is all of parts that take turns: the
    penalties of a GAN differentiate twice, which blocks that come and go do not outlive. Evaluation gathers everything
    and keeps it to its end. Checkpoints hold whole tensors, as those of every strategy.

    Sharded are copies of the parts, which stand in for them while training lasts: FSDP cannot be taken off a network.
    """

    def __init__(self, block: int = BLOCK) -> None:
        super().__init__()
        self.block = block
        self.root: Any = None
        self._originals: dict[str, nn.Module] = {}
        self._gathered = False

    # Lightning's hooks -----------------------------------------------------------------------------------------------

    def configure_ddp(self) -> None:
        """In place of wrapping: the optimizers that are built next get the shards."""
        module: Any = self.lightning_module
        mesh = init_device_mesh(self.root_device.type, (self.world_size,))
        for tensor in _tensors(module) if self.world_size > 1 else ():
            torch.distributed.broadcast(tensor.detach(), src=0)
        self._originals = {name: module.get_submodule(name) for name in module.optimized}
        parts = {name: copy.deepcopy(part) for name, part in self._originals.items()}
        for name, part in parts.items():
            self._originals[name].cpu()
            module.set_submodule(name, part)
            _prepare(name, part)
        if len(parts) == 1:
            for block in self._gathered_alone(*parts.values()):
                fully_shard(block, mesh=mesh)
        self.root = fully_shard(Root(parts), mesh=mesh)
        if hasattr(self.root, "set_reduce_scatter_unused_params"):  # torch 2.12: ranks may use different parameters
            self.root.set_reduce_scatter_unused_params(True)
        with torch.no_grad():
            self.root(lambda _: None, None)  # the first to run is the root for ever
        self._share_out()

    def _gathered_alone(self, part: nn.Module) -> list[nn.Module]:
        """The large blocks of `part`, innermost first, that a loss of two samples uses by their forward pass only."""
        blocks = _large_blocks(part, self.block)
        if not blocks:
            return []
        module: Any = self.lightning_module
        batch = self.batch_to_device(self.precision_plugin.convert_input(module.trainer.datamodule.sample("train", 2)))
        training = {child: child.training for child in module.modules()}
        with _noted_apart(blocks) as apart, torch.no_grad(), torch.random.fork_rng(devices=[]):
            module.eval()
            for name in module.optimized:
                module.objective(name)[0](module.drawn(batch, 0))
        for child, before in training.items():
            child.training = before
        return [block for block in blocks if block not in apart]

    def lightning_module_state_dict(self) -> dict[str, Any]:
        assert self.lightning_module is not None
        state = {name: _whole(value) for name, value in self.lightning_module.state_dict().items()}
        if self._gathered:  # taking the state has shared it out
            self._gather()
        return state

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        state = optimizer.state_dict()
        whole = {key: {k: _whole(value) for k, value in values.items()} for key, values in state["state"].items()}
        return state | {"state": whole}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            shared = {key: _shared(values, _parameters(optimizer)[key]) for key, values in state["state"].items()}
            optimizer.load_state_dict(state | {"state": shared})

    def teardown(self) -> None:
        """Put the module's own parts back, with the weights that they have come to."""
        module: Any = self.lightning_module
        if self._originals:
            ended = module.trainer.state.status != TrainerStatus.INTERRUPTED
            if ended:  # else other devices may not be there to gather from
                self._gather()
            for name, part in self._originals.items():
                trained = module.get_submodule(name)
                if ended:
                    for tensor, learned in zip(_tensors(part), _tensors(trained), strict=True):
                        tensor.detach().copy_(learned.detach())
                for own, found in zip(part.modules(), trained.modules(), strict=True):
                    own.training = found.training
                module.set_submodule(name, part.to(self.root_device))
            self._originals, self.root, self.optimizers = {}, None, []
        super().teardown()

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        self._share_out()
        result = super().training_step(*args, **kwargs)
        self._rest()
        return result

    def on_validation_start(self) -> None:
        """Gather all weights for the pass; the buffers are those of the first device."""
        if self.root is not None:
            for buffer in self.root.buffers():
                torch.distributed.broadcast(buffer, src=0)
            self._gather()

    def on_validation_end(self) -> None:
        if self.root is not None:
            self._rest()

    # -----------------------------------------------------------------------------------------------------------------

    def _shards(self) -> Iterator[Any]:
        return (module for module in self.root.modules() if isinstance(module, FSDPModule))

    def _rest(self) -> None:
        """Between steps each device has its shares, or all weights where a callback averages them."""
        module: Any = self.lightning_module
        averaged = any(isinstance(callback, WeightAveraging) for callback in module.trainer.callbacks)
        (self._gather if averaged else self._share_out)()

    def _gather(self) -> None:
        self._gathered = True
        for module in self._shards():
            module.set_reshard_after_forward(False, recurse=False)
            module.unshard()

    def _share_out(self) -> None:
        self._gathered = False
        for module in self._shards():
            module.set_reshard_after_forward(module is not self.root, recurse=False)
            module.reshard()


def _prepare(name: str, part: nn.Module) -> None:
    for key, parameter in part.named_parameters():
        if parameter.ndim == 0:
            raise UserError(f"trainer.strategy: fsdp cannot share out {name}.{key}, a single number; expected ddp")
        parameter.data = parameter.data.contiguous()  # rows are what is shared out: no channels_last


def _large_blocks(part: nn.Module, least: int) -> list[nn.Module]:
    """Repeated blocks, innermost first, but not where they share parameters with what lies outside."""
    containers = [module for module in part.modules() if isinstance(module, (nn.Sequential, nn.ModuleList))]
    found = dict.fromkeys(block for container in containers for block in container if not _is_container(block))
    inside = {block: set(block.parameters()) for block in reversed(found)}
    large = [block for block, own in inside.items() if sum(parameter.numel() for parameter in own) >= least]
    return [block for block in large if not inside[block] & _outside(part, block)]


@contextlib.contextmanager
def _noted_apart(blocks: list[nn.Module]) -> Iterator[set[nn.Module]]:
    """Note the blocks of which something is called while they themselves are not."""
    running: list[nn.Module] = []
    apart: set[nn.Module] = set()
    hooks = []

    def note(block: nn.Module, *_: Any) -> None:
        if block not in running:
            apart.add(block)

    for block in blocks:
        hooks += [
            block.register_forward_pre_hook(lambda module, _: running.append(module)),
            block.register_forward_hook(lambda module, *_: running.remove(module)),
        ]
        for inner in (module for module in block.modules() if module is not block):
            hooks.append(inner.register_forward_pre_hook(partial(note, block)))
    try:
        yield apart
    finally:
        for hook in hooks:
            hook.remove()


def _is_container(module: nn.Module) -> bool:
    return isinstance(module, (nn.ModuleList, nn.ModuleDict))


def _outside(part: nn.Module, block: nn.Module) -> set[nn.Parameter]:
    within = set(block.modules())
    return {p for module in part.modules() if module not in within for p in module.parameters(recurse=False)}


def _whole(value: Any) -> Any:
    return value.full_tensor().cpu() if isinstance(value, DTensor) else value


def _tensors(part: nn.Module) -> Iterator[Tensor]:
    return itertools.chain(part.parameters(), part.buffers())


def _parameters(optimizer: Optimizer) -> list[Any]:
    """In the order in which an optimizer numbers them."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _shared(values: Mapping[str, Any], parameter: DTensor) -> dict[str, Any]:
    """This device's share of what an optimizer keeps for a parameter."""

    def share(value: Any) -> Any:
        if not isinstance(value, Tensor) or value.shape != parameter.shape:
            return value
        value = value.to(parameter.device)
        return distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)

    return {key: share(value) for key, value in values.items()}
