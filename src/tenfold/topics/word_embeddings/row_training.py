"""A training step that moves only the rows which a batch touches."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from tenfold.engine.module import TenfoldModule
from tenfold.engine.parts import optimizer_of
from tenfold.engine.precision import full_precision
from tenfold.topics.word_embeddings.optimizer import RowSGD


class RowTrained(TenfoldModule):
    """A module with sparse steps of its own beside the engine's.

    Under `RowSGD` a batch is trained by `train_rows`, in place; under DDP each rank trains its share and the ranks'
    tables are averaged after each batch. Any other optimizer gets dense gradients of the same loss.
    """

    #: Samples of a batch whose loss is noted for the dashboard before they are trained.
    noted: ClassVar[int] = 1
    network: Any

    @property
    def term(self) -> str:
        """The name of the only loss term."""
        raise NotImplementedError

    def train_rows(self, batch: Any, learning_rate: float) -> None:
        """Train on a batch by sparse steps, in place."""
        raise NotImplementedError

    def training_step(self, batch: Any, batch_idx: int) -> None:
        optimizer = optimizer_of(self, 0)
        if not isinstance(optimizer.optimizer, RowSGD):
            super().training_step(batch, batch_idx)
            return
        self._look(batch, self.journal.due)
        with full_precision(self.device):  # a sparse step has the type of the table that it moves
            self.train_rows(batch, optimizer.param_groups[0]["lr"])
        self._average_over_ranks()
        optimizer.step()
        optimizer.zero_grad()
        self.schedulers.step_done(0)

    def _look(self, batch: Any, due: bool) -> None:
        """Note the loss of the batch's first samples before they are trained; and its gradient's norm when the journal
        is due."""
        piece = type(batch)(*(field[: self.noted] for field in batch))
        with torch.set_grad_enabled(due):
            weight = torch.as_tensor(self.weights(piece)[self.term])
            mean = self.losses(piece)[self.term] / weight.clamp(min=torch.finfo(torch.float32).tiny)
        if due:
            self.manual_backward(mean)
        self.journal.record({self.term: mean.detach() / self.world_size})

    def _average_over_ranks(self) -> None:
        if self.world_size > 1:
            for tensor in self.network.state_dict().values():
                if tensor.is_floating_point():
                    torch.distributed.all_reduce(tensor.data)
                    tensor.data /= self.world_size
