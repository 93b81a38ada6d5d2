"""The loop that is exported in place of torch's recurrent layers."""

from __future__ import annotations

import pytest
import torch

from tenfold.nn.recurrence import looped


@pytest.mark.parametrize("kind", [torch.nn.GRU, torch.nn.LSTM])
def test_the_loop_gives_the_states_of_torchs_layer(kind):
    torch.manual_seed(0)
    cell = kind(5, 7, num_layers=2, batch_first=True).double()
    inputs = torch.randn(3, 6, 5, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(looped(cell, inputs), cell(inputs)[0], rtol=0, atol=1e-12)
