"""The loop that is exported in place of torch's recurrent layers."""

from __future__ import annotations

import pytest
import torch

from tenfold.nn.recurrence import LSTM, looped


@pytest.mark.parametrize("kind", [torch.nn.GRU, torch.nn.LSTM])
def test_the_loop_gives_the_states_of_torchs_layer(kind):
    torch.manual_seed(0)
    cell = kind(5, 7, num_layers=2, batch_first=True).double()
    inputs = torch.randn(3, 6, 5, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(looped(cell, inputs), cell(inputs)[0], rtol=0, atol=1e-12)


def test_an_lstm_runs_under_autocast_on_any_cpu():
    torch.manual_seed(0)
    cell, inputs = LSTM(5, 7, batch_first=True), torch.randn(3, 6, 5)
    with torch.autocast("cpu", torch.bfloat16):
        found = cell(inputs.bfloat16())[0]
    assert torch.equal(found, cell(inputs.bfloat16().float())[0])
    found.sum().backward()
    assert all(parameter.grad is not None for parameter in cell.parameters())
