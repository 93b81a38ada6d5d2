"""micro_batch_size=auto: halves while memory runs out, and leaves no other trace than the size it has come to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.strategies import DDPStrategy, FSDPStrategy
from torch import nn

from engine.toys import Gan, Regressor, ToyData, difference, flat, sequences, train
from tenfold.engine import memory
from tenfold.engine.accumulation import Accumulation, Stepping
from tenfold.engine.batch import cut
from tenfold.errors import UserError

AUTO = Stepping(micro_batch_size="auto")
KIBIBYTES = 1 / 1024  # of a budget, which counts MiB; a sample here keeps a quarter to one of them


def network() -> nn.Module:
    """Random state and buffers: what an attempt that fails must give back."""
    return nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(5), nn.Dropout(0.3), nn.Tanh(), nn.Linear(16, 1))


def auto(budget: float) -> Stepping:
    return Stepping(micro_batch_size="auto", memory_budget=budget)


@pytest.mark.parametrize("precision, budget", [("32-true", 3), ("32-true", 5), ("bf16-mixed", 3), ("64-true", 5)])
def test_the_weights_are_those_of_a_run_that_began_with_the_final_size(budget, precision):
    found = Regressor(network())
    train(found, ToyData(21, 8), stepping=auto(budget * KIBIBYTES), max_epochs=2, precision=precision)
    chosen = found.accumulation.chosen
    assert chosen is not None and chosen < 8
    expected = Regressor(network())
    train(expected, ToyData(21, 8), stepping=Stepping(micro_batch_size=chosen), max_epochs=2, precision=precision)
    assert torch.equal(flat(found), flat(expected))
    assert torch.equal(flat(found.buffers()), flat(expected.buffers()))


def test_the_size_is_the_largest_of_the_halvings_that_fits():
    plain, peaks = Regressor(), {}
    for size in (4, 2, 1):
        with memory.measured() as activations:
            micro = cut(sequences(8), [size, 8 - size])[0]
            sum(plain.losses(micro).values()).backward()
        peaks[size] = activations.peak
    for size, peak in peaks.items():
        module = Regressor()
        train(module, ToyData(8, 8), stepping=auto((peak + 100) / memory.MEBIBYTE))
        assert module.accumulation.chosen == size


def test_without_a_limit_nothing_is_cut():
    module, whole = Regressor(network()), Regressor(network())
    train(module, ToyData(21, 8), stepping=AUTO)
    train(whole, ToyData(21, 8))
    assert module.accumulation.chosen is None and torch.equal(flat(module), flat(whole))


def test_two_optimizers_share_what_fits():
    gan, plain = Gan(), Gan()
    train(gan, ToyData(16, 8), stepping=auto(2 * KIBIBYTES), max_epochs=2)
    train(plain, ToyData(16, 8), max_epochs=2)
    assert gan.accumulation.chosen in (1, 2, 4) and difference(gan, plain) <= 1e-5


def test_batches_of_different_length_halve_when_a_long_one_comes():
    class Longer(Regressor):
        def training_step(self, batch: Any, batch_idx: int) -> None:
            time = 1 if batch_idx == 0 else 5
            vars(self).setdefault("sizes", []).append(self.accumulation.chosen)
            super().training_step(type(batch)(*(tensor[:, :time] for tensor in batch)), batch_idx)

    module, plain = Longer(), Longer()
    train(module, ToyData(24, 8), stepping=auto(1.2 * KIBIBYTES))
    train(plain, ToyData(24, 8))
    assert module.sizes[:2] == [None, None] and module.sizes[2] in (1, 2, 4) and difference(module, plain) <= 1e-5


def test_one_sample_that_does_not_fit_is_told():
    with pytest.raises(UserError, match=r"trainer.micro_batch_size: not even one sample fits.*budget of 1e-05 MiB"):
        train(Regressor(), ToyData(8, 8), stepping=auto(1e-5))


@pytest.mark.parametrize(
    "strategy, batch_norm, told",
    [
        (FSDPStrategy(), "micro", "auto needs strategy ddp where there are several devices; expected a number"),
        (DDPStrategy(), "exact", "auto on several devices does not go with trainer.batch_norm: exact; expected"),
    ],
)
def test_what_several_devices_cannot_do_is_told(strategy, batch_norm, told):
    module: Any = SimpleNamespace(world_size=2, trainer=SimpleNamespace(strategy=strategy))
    with pytest.raises(UserError, match=f"trainer.micro_batch_size: {told}"):
        Accumulation(module, Stepping(micro_batch_size="auto", batch_norm=batch_norm))


def test_an_error_that_is_not_of_memory_is_no_reason_to_halve():
    class Broken(Regressor):
        def losses(self, batch):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        train(Broken(), ToyData(8, 8), stepping=AUTO)


def test_a_resumed_run_repeats_the_choice(tmp_path):
    def run(resume: bool) -> Regressor:
        module = Regressor()
        train(
            module,
            ToyData(8, 8),
            tmp_path,
            auto(1.2 * KIBIBYTES),
            enable_checkpointing=True,
            max_epochs=2 if resume else 1,
            callbacks=[ModelCheckpoint(tmp_path, filename="last"), attempts],
            ckpt_path=tmp_path / "last.ckpt" if resume else None,
        )
        return module

    class Attempts(L.Callback):
        at_start: list[int | None] = []

        def on_train_start(self, trainer, pl_module):
            self.at_start.append(pl_module.accumulation.chosen)

    attempts = Attempts()
    chosen = run(resume=False).accumulation.chosen
    kept = torch.load(tmp_path / "last.ckpt", weights_only=True)["tenfold"]["config"]["chosen_micro_batch_size"]
    run(resume=True)
    assert attempts.at_start == [None, chosen] and kept == chosen is not None


@pytest.mark.parametrize(
    "wording",
    [
        "CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 7.79 GiB total capacity)",
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`",
        "cuFFT error: CUFFT_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a non-contiguous input.",
        "Unable to find a valid cuDNN algorithm to run convolution",
        "HIP out of memory. Tried to allocate 2.00 GiB",
        "MPS backend out of memory (MPS allocated: 17.90 GB)",
        "XPU out of memory. Tried to allocate 1.00 GiB",
        "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 B",
        "DefaultCPUAllocator: not enough memory: you tried to allocate 4000000 bytes.",
        "NCCL Error 1: unhandled cuda error (NCCL_DEBUG=INFO tells more): Failed to CUDA calloc 6291456, out of memory",
    ],
)
def test_every_wording_is_understood(wording):
    assert memory.is_out_of_memory(RuntimeError(wording))


def test_a_library_that_runs_out_of_memory_halves_too():
    class Large(Regressor):
        def losses(self, batch):
            if len(batch.inputs) > 2:
                raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
            return super().losses(batch)

    module, plain = Large(), Regressor()
    train(module, ToyData(8, 8, validation=False), stepping=AUTO)
    train(plain, ToyData(8, 8, validation=False))
    assert module.accumulation.chosen == 2 and difference(module, plain) <= 1e-5


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("anything")])
def test_so_are_the_types_that_say_it(error):
    assert memory.is_out_of_memory(error)


@pytest.mark.parametrize(
    "wording", ["CUDA error: device-side assert triggered", "expected scalar type Float but found Half"]
)
def test_other_errors_are_not_taken_for_it(wording):
    assert not memory.is_out_of_memory(RuntimeError(wording))


def test_activations_are_counted_once_and_given_back():
    layer, x = nn.Linear(100, 100), torch.randn(10, 100)
    with memory.measured() as activations:
        y = layer(x).relu()
        loss = (layer(y) ** 2).sum()
        assert (
            activations.bytes == 3 * 10 * 100 * 4
        )  # the input, relu's output (kept twice, held once), what is squared
    loss.backward()
    del y, loss
    assert activations.bytes == 0 and activations.peak == 3 * 10 * 100 * 4
