"""Exact gradients of a batch that is computed in parts.

The one place that decides how losses are normalised. For loss terms t with sums S_t over the valid elements of a batch
(samples, tokens, nodes, ...) and weights W_t, the gradient that reaches the optimizer is that of

    L = sum_t S_t / W_t

with S_t and W_t taken over the whole batch: all micro-batches of all ranks. A mean of the micro-batches' means is not
that as soon as they differ in weight. Weights are known from the batch alone (`TenfoldModule.weights`), so each
micro-batch is scaled by the final 1 / W_t before its backward pass, and no gradient is touched twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor

from tenfold.engine import memory
from tenfold.engine.batch import cut, equal_sizes, num_samples
from tenfold.engine.batch_norm import warn_of_micro_batches, whole_batch_statistics
from tenfold.engine.precision import full_precision
from tenfold.engine.ranks import largest, sum_gradients, summed
from tenfold.errors import UserError

if TYPE_CHECKING:
    from tenfold.engine.module import TenfoldModule

Sums = dict[str, Tensor]
Weights = dict[str, Tensor | int | float]


@dataclass(frozen=True)
class Stepping:
    """How one optimizer step is computed; none of it changes which gradient is meant.

    micro_batch_size: samples a device computes at once; "auto" halves from the whole batch when memory runs out; None:
        all.
    accumulate_grad_batches: the same, said as the number of micro-batches; None: decided by micro_batch_size.
    batch_norm: whose statistics BatchNorm uses, those of each "micro" batch or of the "whole" batch (one more pass);
        "exact": the gradient through them is the whole batch's too (one more pass for each BatchNorm layer).
    memory_budget: MiB that activations kept for the backward pass may take; a simulated limit, None: the device's own.
    gradient_clip_val: bound of the whole gradient's norm (or of each value); None: no clipping.
    """

    micro_batch_size: int | Literal["auto"] | None = None
    accumulate_grad_batches: int | None = None
    batch_norm: Literal["micro", "whole", "exact"] = "micro"
    memory_budget: float | None = None
    gradient_clip_val: float | None = None
    gradient_clip_algorithm: Literal["norm", "value"] = "norm"


class Accumulation:
    """Computes the gradient of a batch in micro-batches that fit in memory."""

    def __init__(self, module: TenfoldModule, stepping: Stepping) -> None:
        self.module, self.stepping = module, stepping
        self.chosen: int | None = None  # what "auto" has come to; None: the whole batch still fits
        self._spare: Any = None  # one sample, for a rank whose share of a short batch is empty
        self._warned = False
        if self._own_sum and not isinstance(module.trainer.strategy, DDPStrategy):
            raise UserError(
                "trainer.micro_batch_size: auto needs strategy ddp where there are several devices; expected a number"
            )
        if self._own_sum and stepping.batch_norm != "micro":  # a rank short of memory would leave the others waiting
            raise UserError(
                "trainer.micro_batch_size: auto on several devices does not go with "
                f"trainer.batch_norm: {stepping.batch_norm}; expected a number"
            )

    def backward(
        self,
        batch: Any,
        losses: Callable[[Any], Sums],
        weights: Callable[[Any], Weights],
        zero_grad: Callable[[], None],
    ) -> Sums:
        """Fill the gradients from `batch` and return each term's mean over it (this rank's part, to be summed over
        ranks).

        With `micro_batch_size: auto`, running out of memory halves the micro-batch and starts the batch again from zero
        gradients, with the random state and the buffers as they were, so the attempt leaves no trace.
        """
        batch, ghost = self._share(batch)
        totals = self._totals(weights(batch), ghost)
        if self.stepping.micro_batch_size != "auto":
            return self._attempt(batch, ghost, losses, totals)
        while True:
            before = memory.Snapshot(self.module)
            error: BaseException | None = None
            try:
                means = self._attempt(batch, ghost, losses, totals)
            except (RuntimeError, MemoryError) as caught:
                if not memory.is_out_of_memory(caught):
                    raise
                error = caught.with_traceback(None)  # the traceback would keep the activations alive
            too_large = largest(0 if error is None else self.micro_batch_size(num_samples(batch)), self.module.device)
            if not too_large:
                if self._own_sum:
                    sum_gradients(self.module.parameters(), self.module.device)
                return means
            zero_grad()
            before.restore(self.module)
            self._halve(too_large, error)

    def _share(self, batch: Any) -> tuple[Any, bool]:
        """This rank's share, and whether it is a ghost: a sample of weight zero in place of an empty share."""
        size = num_samples(batch)
        if size == 0:
            if self._spare is None:
                raise UserError(
                    "data.batch_size: a device got no sample of the first batch; expected at least one a device"
                )
            return self._spare, True
        if self._spare is None and self.module.world_size > 1:
            self._spare = cut(batch, [1])[0] if size > 1 else batch
        return batch, False

    def _attempt(self, batch: Any, ghost: bool, losses: Callable[[Any], Sums], totals: Weights) -> Sums:
        micro_batches = self._micro_batches(batch)
        fillers = self._fillers(micro_batches)
        root = self._root
        means: Sums = {}

        def terms(micro: Any) -> Sums:
            sums = losses(micro) if root is None else root(losses, micro)
            return {name: total / totals[name] for name, total in sums.items()}

        def compute(micro: Any, ghost: bool, last: bool) -> None:
            with self._synchronised(last):
                parts = terms(micro)
                loss = self._scaled(parts, ghost)
                with full_precision(loss.device):
                    self.module.manual_backward(loss)
            for name, term in parts.items():
                mean = term.detach() if not ghost else torch.zeros_like(term)
                means[name] = means[name] + mean if name in means else mean

        with memory.limited(self.stepping.memory_budget), self._statistics(batch, ghost, micro_batches, terms):
            for index, micro in enumerate(micro_batches):
                compute(micro, ghost, last=index == len(micro_batches) - 1)
            if fillers:
                before = memory.Snapshot(self.module)
                for micro in fillers:
                    compute(micro, ghost=True, last=True)
                before.restore(self.module)
        return means

    def _fillers(self, micro_batches: list[Any]) -> list[Any]:
        """Micro-batches of no weight, where FSDP's devices must take equally many passes and this one has fewer."""
        cuts = (self.stepping.micro_batch_size, self.stepping.accumulate_grad_batches) != (None, None)
        if not cuts or self._root is None:
            return []
        return micro_batches[-1:] * (largest(len(micro_batches), self.module.device) - len(micro_batches))

    def _scaled(self, terms: Sums, ghost: bool) -> Tensor:
        # Data-parallel strategies average gradients over ranks; the totals hold all ranks already, hence a sum is due.
        factor = 0 if ghost else 1 if self._own_sum else self.module.world_size
        loss: Any = sum(terms.values())
        return loss if factor == 1 else loss * factor

    def _micro_batches(self, batch: Any) -> list[Any]:
        size = num_samples(batch)
        micro = self.micro_batch_size(size)
        if micro >= size:
            return [batch]
        if not self._warned and self.stepping.batch_norm == "micro":
            self._warned = True
            warn_of_micro_batches(self.module)
        return cut(batch, equal_sizes(size, micro))

    def micro_batch_size(self, size: int) -> int:
        """Samples of a micro-batch in a batch of `size` samples on this device."""
        if self.stepping.micro_batch_size == "auto":
            return min(size, self.chosen or size)
        if self.stepping.micro_batch_size is not None:
            return min(size, self.stepping.micro_batch_size)
        return -(-size // (self.stepping.accumulate_grad_batches or 1))

    def _totals(self, weights: Weights, ghost: bool) -> Weights:
        """Each term's weight over the shares of all ranks; 1 where it is zero, as the sum is zero then too."""
        if self.module.world_size == 1 and not any(isinstance(weight, Tensor) for weight in weights.values()):
            return {name: weight or 1.0 for name, weight in weights.items()}
        device = self.module.device
        precise = torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
        stacked = torch.stack([torch.as_tensor(weight, dtype=precise, device=device) for weight in weights.values()])
        if ghost:
            stacked = torch.zeros_like(stacked)
        if self.module.world_size > 1:
            summed(stacked)
        return dict(zip(weights, stacked.where(stacked > 0, 1.0).unbind(), strict=True))

    @contextlib.contextmanager
    def _synchronised(self, last: bool) -> Iterator[None]:
        """Let the strategy reduce gradients over ranks in the last backward pass only."""
        strategy = self.module.trainer.strategy if self.module.world_size > 1 else None
        if strategy is None or (last and not self._own_sum) or not hasattr(strategy, "block_backward_sync"):
            yield
        else:
            with strategy.block_backward_sync():
                yield

    @property
    def _root(self) -> Any:
        """FSDP's, inside which alone the weights are whole."""
        trainer = self.module._trainer
        return None if trainer is None else getattr(trainer.strategy, "root", None)

    @property
    def _own_sum(self) -> bool:
        """Whether the ranks sum gradients after the batch instead of within the last backward pass.

        With "auto" one rank may run out of memory in the middle of a backward pass that the others finish; a reduction
        inside it would then wait for ever. So the ranks first agree that all have succeeded.
        """
        return self.stepping.micro_batch_size == "auto" and self.module.world_size > 1

    def _halve(self, too_large: int, error: BaseException | None) -> None:
        if too_large <= 1:
            reason = str(error).partition("\n")[0] if error else "on another device"
            raise UserError(f"trainer.micro_batch_size: not even one sample fits in memory ({reason})")
        self.chosen = (too_large + 1) // 2
        memory.release()
        rank_zero_info(f"out of memory: micro-batches of {self.chosen} samples from here on, the batch stays as it is")

    def _statistics(
        self, batch: Any, ghost: bool, micro_batches: list[Any], terms: Callable[[Any], Sums]
    ) -> contextlib.AbstractContextManager:
        if self.stepping.batch_norm == "micro" or (len(micro_batches) == 1 and self.module.world_size == 1):
            return contextlib.nullcontext()

        def loss(micro: Any) -> Tensor:
            scaler = getattr(self.module.trainer.precision_plugin, "scaler", None)  # of 16-mixed
            value = self._scaled(terms(micro), ghost)
            return value if scaler is None else scaler.scale(value)

        exact = micro_batches if self.stepping.batch_norm == "exact" else ()
        losses = [partial(loss, micro) for micro in exact]
        return whole_batch_statistics(self.module, lambda: terms(batch), losses, ghost)
