"""Small modules and data, on which the engine's arithmetic can be checked by hand."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor, nn

from tenfold.config.spec import DataSpec
from tenfold.data.base import DataModule
from tenfold.data.loader import Tensors
from tenfold.engine.accumulation import Stepping
from tenfold.engine.module import TenfoldModule

warnings.filterwarnings("ignore", module="lightning")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

QUIET = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)


class Sequences(NamedTuple):
    """`[batch, time, 3]`, targets `[batch, time]`, and which of the steps are valid, `[batch, time]`."""

    inputs: Tensor
    targets: Tensor
    valid: Tensor


def sequences(samples: int, time: int = 5, seed: int = 0, dtype: torch.dtype = torch.float32) -> Sequences:
    """Lengths from 0 to `time`; the first two samples have no valid step at all."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, time + 1, (samples,), generator=generator)
    lengths[:2], lengths[-1] = 0, time
    return Sequences(
        torch.randn(samples, time, 3, generator=generator, dtype=torch.float64).to(dtype),
        torch.randn(samples, time, generator=generator, dtype=torch.float64).to(dtype),
        torch.arange(time) < lengths[:, None],
    )


class Regressor(TenfoldModule):
    """Three loss terms that are weighed by tokens, by samples and by a sum of real numbers."""

    def __init__(self, network: nn.Module | None = None, optimizer: dict | None = None, **config: Any) -> None:
        super().__init__(DataSpec())
        self.network = network or nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
        self.config = {"optimizer": optimizer or sgd(), **config}

    def losses(self, batch: Sequences) -> dict[str, Tensor]:
        outputs = self.network(batch.inputs).squeeze(-1)
        error = (outputs - batch.targets).square()
        return {
            "tokens": (error * batch.valid).sum(),
            "samples": outputs.mean(1).square().sum(),
            "weighted": (error.sum(1) * batch.inputs[:, 0, 0].abs()).sum(),
        }

    def weights(self, batch: Sequences) -> dict[str, Tensor | int]:
        return {
            "tokens": batch.valid.sum(),
            "samples": len(batch.inputs),
            "weighted": batch.inputs[:, 0, 0].abs().sum(),
        }


class Gan(TenfoldModule):
    """Two parts in turn. The discriminator is to tell targets from the generator's outputs."""

    optimized = ("generator", "discriminator")

    def __init__(self, batches_each: int = 1, **config: Any) -> None:
        super().__init__(DataSpec())
        self.generator = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 1))
        self.discriminator = nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 1))
        self.batches_each = batches_each  # of the discriminator for one of the generator
        self.config = {"optimizer": sgd(), **config}

    def training_step(self, batch: Sequences, batch_idx: int) -> None:
        self.update("discriminator", batch)
        if (batch_idx + 1) % self.batches_each == 0:
            self.update("generator", batch)

    def objective(self, part: str) -> tuple[Any, Any]:
        return (self.losses if part == "generator" else self.discriminator_losses), self.weights

    def discriminator_losses(self, batch: Sequences) -> dict[str, Tensor]:
        real = self.discriminator(batch.targets[..., None])
        fake = self.discriminator(self.generator(batch.inputs).detach())
        return {
            "adversarial": ((nn.functional.softplus(-real) + nn.functional.softplus(fake))[..., 0] * batch.valid).sum()
        }

    def losses(self, batch: Sequences) -> dict[str, Tensor]:
        fake = self.discriminator(self.generator(batch.inputs))
        return {"adversarial": (nn.functional.softplus(-fake)[..., 0] * batch.valid).sum()}

    def weights(self, batch: Sequences) -> dict[str, Tensor]:
        return {"adversarial": batch.valid.sum()}


class ToyData(DataModule):
    """Sequences in memory; a fifth as many to validate on."""

    def __init__(self, samples: int, batch_size: int, validation: bool = True, **common: Any) -> None:
        super().__init__(batch_size, **{"eval_batch_size": 4} | common)
        self.samples, self.validation = samples, validation

    def load(self) -> None:
        self.spec = DataSpec()
        self.splits = {"train": Tensors(sequences(self.samples))}
        if self.validation:
            self.splits["val"] = Tensors(sequences(max(3, self.samples // 5), seed=1))


def sgd(**arguments: Any) -> dict[str, Any]:
    return {"_target_": "torch.optim.SGD", "lr": 0.02, "momentum": 0.9} | arguments


def warmup(**arguments: Any) -> dict[str, Any]:
    return {"_target_": "tenfold.engine.schedules.warmup_decay", "warmup": 2} | arguments


def draw_weights(module: nn.Module, seed: int) -> None:
    torch.manual_seed(seed)
    for layer in module.modules():
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()


def train(
    module: TenfoldModule,
    data: DataModule,
    folder: Path | str = ".",
    stepping: Stepping | None = None,
    seed: int | None = 1,
    ckpt_path: str | Path | None = None,
    **trainer: Any,
) -> L.Trainer:
    """Fit `module` on the CPU, silently; its weights are drawn anew from `seed`, unless it is None."""
    if seed is not None:
        draw_weights(module, seed)
    module.stepping = stepping or module.stepping
    arguments = {"accelerator": "cpu", "devices": 1, "max_epochs": 1, "num_sanity_val_steps": 0, **QUIET} | trainer
    fitter = L.Trainer(default_root_dir=folder, **arguments)
    fitter.fit(module, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    return fitter


class Plain(L.LightningModule):
    """The Regressor's loss as Lightning documents it: a mean of each micro-batch, automatic optimisation."""

    def __init__(self, ours: Regressor) -> None:
        super().__init__()
        self.ours, self.gradients = ours, []

    def training_step(self, batch: Sequences, batch_idx: int) -> Tensor:
        sums, weights = self.ours.losses(batch), self.ours.weights(batch)
        return sum(sums[name] / max(float(weights[name]), 1.0) for name in sums)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.gradients.append([p.grad.clone() for p in self.ours.parameters()])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def lightnings_gradient(module: Regressor, micro_batches: list[Sequences], window: int, **trainer: Any) -> list[Tensor]:
    """What reaches the optimizer when Lightning accumulates by itself."""
    plain = Plain(module)
    arguments = {"accelerator": "cpu", "devices": 1, "max_epochs": 1, "use_distributed_sampler": False, **QUIET}
    fitter = L.Trainer(**arguments | trainer, accumulate_grad_batches=window)
    fitter.fit(plain, torch.utils.data.DataLoader(micro_batches, batch_size=None))
    (gradient,) = plain.gradients
    module.zero_grad()
    return gradient


def flat(values: Any) -> Tensor:
    """The parameters of a module, or any tensors, as one vector of float64."""
    tensors = values.parameters() if isinstance(values, nn.Module) else values
    return torch.cat([tensor.detach().double().flatten() for tensor in tensors])


def difference(found: Any, expected: Any) -> float:
    """Relative, in the Euclidean norm."""
    found, expected = flat(found), flat(expected)
    return float((found - expected).norm() / expected.norm())
