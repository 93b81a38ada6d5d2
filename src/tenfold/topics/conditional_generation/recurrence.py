"""A GRU as one loop over time, which exports for texts of any length."""

from __future__ import annotations

from torch import Tensor, nn
from torch._higher_order_ops.scan import scan
from torch.nn import functional as F


def looped(gru: nn.GRU, inputs: Tensor) -> Tensor:
    r"""The states `[batch, time, hidden_size]` that `gru`, from no state and without dropout, gives of inputs
    `[batch, time, features]`:

    .. math:: h_t = (1 - z_t) n_t + z_t h_{t-1}, \quad n_t = \tanh(W x_t + b + r_t (U h_{t-1} + c))

    with :math:`r_t, z_t` sigmoids of maps of :math:`x_t` and :math:`h_{t-1}` (Cho et al., 2014, arXiv 1406.1078).
    torch.export unrolls `nn.GRU` and so fixes the number of steps; a scan stays a loop, in ONNX too.
    """
    states = inputs.transpose(0, 1)
    for layer in range(gru.num_layers):
        weight, bias = getattr(gru, f"weight_hh_l{layer}"), getattr(gru, f"bias_hh_l{layer}")

        def step(hidden: Tensor, driven: Tensor, weight: Tensor = weight, bias: Tensor = bias) -> tuple[Tensor, Tensor]:
            reset, update, new = driven.chunk(3, dim=1)
            own_reset, own_update, own_new = F.linear(hidden, weight, bias).chunk(3, dim=1)
            kept = (update + own_update).sigmoid()
            candidate = (new + (reset + own_reset).sigmoid() * own_new).tanh()
            hidden = (1 - kept) * candidate + kept * hidden
            return hidden, hidden.clone()  # a scan's outputs may not share memory

        driven = F.linear(states, getattr(gru, f"weight_ih_l{layer}"), getattr(gru, f"bias_ih_l{layer}"))
        _, states = scan(step, driven.new_zeros(driven.shape[1], gru.hidden_size), driven, dim=0)
    return states.transpose(0, 1)
