"""Recurrent layers that run under mixed precision, and as one loop over time, which exports for texts of any length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan
from torch.nn import functional as F


class LSTM(nn.LSTM):
    """torch's own; on a CPU in its weights' precision whatever autocast says, as not every CPU has one of bfloat16."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        if input.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(input, hx)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.to(next(self.parameters()).dtype), hx)


def looped(cell: nn.GRU | nn.LSTM, inputs: Tensor) -> Tensor:
    r"""The states `[batch, time, hidden_size]` that `cell`, from no state and without dropout, gives of inputs
    `[batch, time, features]`. A GRU's are (Cho et al., 2014, arXiv 1406.1078):

    .. math:: h_t = (1 - z_t) n_t + z_t h_{t-1}, \quad n_t = \tanh(W x_t + b + r_t (U h_{t-1} + c))

    with :math:`r_t, z_t` sigmoids of maps of :math:`x_t` and :math:`h_{t-1}`; an LSTM's (Hochreiter & Schmidhuber,
    1997) :math:`h_t = o_t \tanh c_t`, :math:`c_t = f_t c_{t-1} + i_t g_t`. torch.export unrolls torch's own layers and
    so fixes the number of steps; a scan stays a loop, in ONNX too.
    """
    states = inputs.transpose(0, 1)
    make_step, memories = (_gru_step, 1) if isinstance(cell, nn.GRU) else (_lstm_step, 2)
    for layer in range(cell.num_layers):
        step = make_step(getattr(cell, f"weight_hh_l{layer}"), getattr(cell, f"bias_hh_l{layer}"))
        driven = F.linear(states, getattr(cell, f"weight_ih_l{layer}"), getattr(cell, f"bias_ih_l{layer}"))
        nothing = driven.new_zeros(driven.shape[1], memories * cell.hidden_size)
        _, states = scan(step, nothing, driven, dim=0)
    return states.transpose(0, 1)


Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # memory and what drives it, to memory and state


def _gru_step(weight: Tensor, bias: Tensor) -> Step:
    def step(hidden: Tensor, driven: Tensor) -> tuple[Tensor, Tensor]:
        reset, update, new = driven.chunk(3, dim=1)
        own_reset, own_update, own_new = F.linear(hidden, weight, bias).chunk(3, dim=1)
        kept = (update + own_update).sigmoid()
        candidate = (new + (reset + own_reset).sigmoid() * own_new).tanh()
        hidden = (1 - kept) * candidate + kept * hidden
        return hidden, hidden.clone()  # a scan's outputs may not share memory

    return step


def _lstm_step(weight: Tensor, bias: Tensor) -> Step:
    def step(memory: Tensor, driven: Tensor) -> tuple[Tensor, Tensor]:
        hidden, cell = memory.chunk(2, dim=1)
        taken, kept, new, shown = (driven + F.linear(hidden, weight, bias)).chunk(4, dim=1)
        cell = kept.sigmoid() * cell + taken.sigmoid() * new.tanh()
        hidden = shown.sigmoid() * cell.tanh()
        return torch.cat([hidden, cell], 1), hidden.clone()

    return step
