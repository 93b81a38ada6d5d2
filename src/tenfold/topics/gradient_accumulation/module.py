"""The same network, trained side by side with its batches cut in several ways."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tenfold.config.spec import DataSpec
from tenfold.data.base import DataModule, Labelled
from tenfold.engine.accumulation import Sums, Weights
from tenfold.engine.module import Stage, TenfoldModule
from tenfold.errors import UserError
from tenfold.topics.gradient_accumulation.copies import Variant, plan
from tenfold.topics.gradient_accumulation.history import WHOLE, History, distances

if TYPE_CHECKING:
    from tenfold.callbacks.pictures import Picture


class AccumulationStudy(TenfoldModule):
    """Trains `network` as `trainer` says (on whole batches, by default), and beside it copies that start from the same
    weights, see the same batches and take the same number of optimizer steps, but compute each step in micro-batches.

    A subclass says what is learned: `sums(network, batch)` and `weights(batch)`.

    micro_batch_sizes, variants: there is a copy for each pair of them; the variants are explained in `copies.VARIANTS`.
    memory_every_n_steps: optimizer steps from one that is weighed to the next; the steps between are timed.
    """

    optimized: tuple[str, ...] = ("network", "copies")  # of the class: there are several; each instance names its own
    metrics = {"loss": "min"}

    def __init__(
        self,
        spec: DataSpec,
        network: nn.Module,
        micro_batch_sizes: Sequence[int],
        variants: Sequence[Variant] = ("micro",),
        memory_every_n_steps: int = 10,
    ) -> None:
        super().__init__(spec)
        self.plan = {each.name: each for each in plan(variants, micro_batch_sizes)}
        self.network = network
        self.copies = nn.ModuleDict({name: copy.deepcopy(network) for name in self.plan})
        self.optimized = ("network", *(f"copies.{name}" for name in self.plan))
        self.dashboard = ("study/table", "study/distances", "study/costs", *self._scalars())  # type: ignore[misc]
        self.memory_every_n_steps = memory_every_n_steps
        self.history = History()
        self._copy_sums: dict[str, dict[str, Tensor]] = {}
        self.losses_of: dict[str, dict[str, float]] = {}  # each copy's on each stage, of the last pass

    @classmethod
    def check(cls, config: Mapping[str, Any]) -> None:
        if (strategy := config["trainer"].get("strategy")) == "fsdp":
            raise UserError(
                f"trainer.strategy: {strategy} gives a device shares of weights, and the study compares whole ones; "
                "expected auto or ddp"
            )

    def _scalars(self) -> list[str]:
        costs = [f"study/{kind}/{name}" for kind in ("milliseconds", "activations_mib") for name in (WHOLE, *self.plan)]
        return [f"study/distance/{name}" for name in self.plan] + costs

    def sums(self, network: nn.Module, batch: Any) -> Sums:
        raise NotImplementedError

    def losses(self, batch: Any) -> Sums:
        return self.sums(self.network, batch)

    def objective(self, part: str) -> tuple[Callable[[Any], Sums], Callable[[Any], Weights]]:
        return partial(self.sums, self.get_submodule(part)), self.weights

    def prepare(self, data: DataModule) -> None:
        if (largest := max(each.micro_batch_size for each in self.plan.values())) > data.batch_size:
            raise UserError(
                f"model.micro_batch_sizes: {largest} is larger than data.batch_size: {data.batch_size}, "
                "which it is to cut"
            )

    # Training --------------------------------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        super().on_fit_start()
        self.accumulations = {name: each.accumulation(self) for name, each in self.plan.items()}

    def training_step(self, batch: Any, batch_idx: int) -> None:
        due, weigh = self.journal.due, self.global_step % self.memory_every_n_steps == 0
        observed = self.history.weighed if weigh else self.history.timed
        with observed(WHOLE, self.device):
            self.update("network", batch)
        for name in self.copies:
            with observed(name, self.device):
                self.update(f"copies.{name}", batch, accumulation=self.accumulations[name])
        if due:
            self._log_study()

    def on_train_end(self) -> None:
        self._log_study()

    def _log_study(self) -> None:
        if self.history.steps[-1:] == [self.global_step]:
            return
        found = self.history.compare(self.global_step, self.network, dict(self.copies.items()))
        scalars = {f"study/distance/{name}": value for name, value in found.items()}
        for name in (WHOLE, *self.plan):
            scalars |= {f"study/{kind}/{name}": value for kind, value in self.history.costs(name).items()}
        for logger in self.loggers:
            logger.log_metrics(scalars, step=self.global_step)

    # Evaluation ------------------------------------------------------------------------------------------------------

    def evaluate(self, batch: Any, stage: Stage) -> Sums:
        totals = self._copy_sums.setdefault(stage, {})
        weight = sum(float(value) for value in self.weights(batch).values())
        for name, network in self.copies.items():
            loss: Any = sum(self.sums(network, batch).values())
            pair = torch.stack([loss.detach().double(), loss.new_tensor(weight, dtype=torch.float64)])
            totals[name] = totals[name] + pair if name in totals else pair
        return self.losses(batch)

    def measure(self, stage: Stage) -> dict[str, float]:
        """Losses on the stage; distances at the end of training, or of a checkpoint's weights; costs of training."""
        pairs = {name: self.summed_over_ranks(pair) for name, pair in self._copy_sums.pop(stage, {}).items()}
        self.losses_of[stage] = {name: float(pair[0] / pair[1].clamp(min=1)) for name, pair in pairs.items()}
        results = {f"loss/{name}": value for name, value in self.losses_of[stage].items()}
        results |= {f"distance/{name}": value for name, value in self.distances().items()}
        for name in (WHOLE, *self.plan):
            results |= {f"{kind}/{name}": value for kind, value in self.history.costs(name).items()}
        return results

    def distances(self) -> dict[str, float]:
        if not self.history.steps:
            return distances(self.network, dict(self.copies.items()))
        return {name: values[-1] for name, values in self.history.distances.items()}

    def pictures(self, stage: Stage) -> dict[str, Picture]:
        from tenfold.topics.gradient_accumulation import pictures

        whole = float(self.trainer.callback_metrics.get(f"{stage}/loss", float("nan")))
        losses = {WHOLE: whole, **self.losses_of[stage]}
        return {
            "study/table": pictures.table(self.history, self.distances(), losses),
            "study/distances": pictures.distances_over_steps(self.history, list(self.plan.values())),
            "study/costs": pictures.costs(self.history, list(self.plan.values())),
        }

    # Checkpoints -----------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["study"] = self.history.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.history.restore(checkpoint.get("study", {}))


class ClassStudy(AccumulationStudy):
    """Cross-entropy of each sample's class; the weight is the number of samples."""

    def sums(self, network: nn.Module, batch: Labelled) -> Sums:
        return {"cross_entropy": F.cross_entropy(network(batch.inputs), batch.labels, reduction="sum")}

    def weights(self, batch: Labelled) -> Weights:
        return {"cross_entropy": len(batch.labels)}

    def predict_inputs(self, inputs: Tensor) -> Sequence[dict[str, Any]]:
        """The most probable label of each input."""
        names: tuple[str, ...] = self.spec.class_names  # type: ignore[attr-defined]
        return [{"label": names[index]} for index in self.network(inputs).argmax(1).tolist()]


class NextTokenStudy(AccumulationStudy):
    """Cross-entropy of each next token, in nats; the weight is the number of tokens that follow another.

    Batches are texts `[batch, time]`, filled up at the end with `spec.network_arguments()["padding_idx"]`.
    """

    def __init__(self, spec: DataSpec, *args: Any, **kwargs: Any) -> None:
        super().__init__(spec, *args, **kwargs)
        self.padding_idx: int = spec.network_arguments()["padding_idx"]

    def sums(self, network: nn.Module, batch: Labelled) -> Sums:
        return {"cross_entropy": self._nats(network, batch.inputs).sum()}

    def weights(self, batch: Labelled) -> Weights:
        return {"cross_entropy": (batch.inputs[:, 1:] != self.padding_idx).sum()}

    def _nats(self, network: nn.Module, tokens: Tensor) -> Tensor:
        """`[batch, time - 1]`; 0 for padding."""
        logits = network(tokens[:, :-1]).transpose(1, 2)
        return F.cross_entropy(logits, tokens[:, 1:], ignore_index=self.padding_idx, reduction="none")

    def predict_inputs(self, inputs: Tensor) -> Sequence[dict[str, Any]]:
        """Nats a token of each text; null for a text of one token."""
        nats, counts = self._nats(self.network, inputs).sum(1), (inputs[:, 1:] != self.padding_idx).sum(1)
        pairs = zip(nats.tolist(), counts.tolist(), strict=True)
        return [{"nats_per_token": round(total / count, 4) if count else None} for total, count in pairs]
