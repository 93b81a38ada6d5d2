"""What all tests share: one thread, no network, nothing left behind."""

from __future__ import annotations

import socket

import pytest


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Small tensors are faster on one thread, and sums come out the same on every machine."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """A connection to another machine is a failure of the test that wants it."""
    connect = socket.socket.connect

    def guarded(self, address):
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host not in ("localhost", "127.0.0.1", "::1", "0.0.0.0"):
            raise AssertionError(f"a test wanted to connect to {host}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def outputs_in_tmp(monkeypatch, tmp_path):
    """Run folders go to the test's own folder."""
    monkeypatch.setenv("TENFOLD_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.delenv("TENFOLD_SWEEP", raising=False)
