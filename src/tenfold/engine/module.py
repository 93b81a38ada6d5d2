"""The base of every topic's LightningModule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import lightning as L
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tenfold.config.spec import DataSpec
from tenfold.engine.accumulation import Accumulation, Stepping, Sums, Weights, full_precision
from tenfold.engine.batch import num_samples, refusing_one_for_batch_norm
from tenfold.engine.clipping import clip_gradient
from tenfold.engine.draws import Draws
from tenfold.engine.journal import Journal
from tenfold.engine.optimization import Schedulers, build_optimizer
from tenfold.engine.parts import optimizer_of, part_of, training_only
from tenfold.engine.position import go_on, position_of
from tenfold.engine.request import NoOptions, Request
from tenfold.engine.retuned import retune
from tenfold.engine.totals import Totals
from tenfold.errors import UserError

if TYPE_CHECKING:
    from tenfold.callbacks.pictures import Picture
    from tenfold.data.base import DataModule

Stage = Literal["val", "test"]


class TenfoldModule(L.LightningModule):
    """A LightningModule whose optimizer steps are exact, however a batch is cut.

    A topic implements

    - `losses(batch)`: each loss term's *sum* over the valid elements of the batch, never a mean;
    - `weights(batch)`: each term's weight (samples, tokens, nodes, ...), known from the batch alone;
    - `evaluate(batch, stage)`: the same sums, updating whatever `measure(stage)` needs;
    - `measure(stage)`: the stage's metrics, cleared for the next pass.

    The engine divides sums by weights over the whole optimizer step: micro-batches, a short last batch and ranks alike.
    A topic with one network needs no more. One whose losses need random numbers takes them in `draw`, not in `losses`.
    One with several networks names them in `optimized`, says in `objective` what each minimises, and calls `update` for
    each in its own `training_step`; each accumulates apart. The first of them is the primary: `global_step`,
    `max_steps` and schedules count its optimizer's steps.
    """

    #: Submodules that are optimized, each by an optimizer of its own; the first is the primary one.
    optimized: tuple[str, ...] = ("network",)
    #: The metrics that `measure` gives and which way is better; the first one chooses the best checkpoint.
    metrics: ClassVar[Mapping[str, Literal["max", "min"]]] = {"loss": "min"}
    #: Tags of scalars and pictures, beyond those that every run writes, that a finished run's event file holds.
    dashboard: ClassVar[tuple[str, ...]] = ()

    #: The network that `tenfold export` writes.
    exported: ClassVar[str] = "network"
    #: Constructor arguments that hold the address of another run (a teacher, a judge), or None.
    companions: ClassVar[tuple[str, ...]] = ()
    #: Whether `tenfold predict` reads an input; a generator of samples does not.
    takes_input: ClassVar[bool] = True
    #: What `tenfold predict` can be told beside its input: a frozen dataclass, each field with its default.
    options_class: ClassVar[type] = NoOptions
    #: The file that `predict` itself writes (a grid of pictures, ...), by its name in the run folder; None for none.
    answer_file: ClassVar[str | None] = None

    automatic_optimization = False  # the engine steps: Lightning's own accumulation averages the means of unequal parts

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        self.spec = spec
        self.config: dict[str, Any] = {}  # the whole run's config in plain types, for the checkpoint
        self.stepping = Stepping()
        self._totals: dict[str, Totals] = {}
        self._companions: dict[str, TenfoldModule] = {}  # in a dict, so that they are neither trained, saved nor moved
        self._draw_count = (-1, 0)  # a batch, and how often its random numbers were drawn
        self._resumed: dict[str, Any] = {}  # what the checkpoint says that training goes on from

    @classmethod
    def check(cls, config: Mapping[str, Any]) -> None:
        """Raise `UserError` where a run's config, in plain types, is known before any data is read not to train."""

    # What a topic implements -----------------------------------------------------------------------------------------

    def losses(self, batch: Any) -> Sums:
        raise NotImplementedError

    def weights(self, batch: Any) -> Weights:
        raise NotImplementedError

    def draw(self, batch: Any, draws: Draws) -> Any:
        """The batch with the random numbers that its losses need, drawn once an update, before the batch is cut."""
        return batch

    def objective(self, part: str) -> tuple[Callable[[Any], Sums], Callable[[Any], Weights]]:
        """The losses that the optimizer of `part` minimises, and their weights."""
        return self.losses, self.weights

    def evaluate(self, batch: Any, stage: Stage) -> Sums:
        return self.losses(batch)

    def measure(self, stage: Stage) -> dict[str, float]:
        return {}

    def prepare(self, data: DataModule) -> None:
        """Take what the module needs from the training data (class frequencies, ...), before training."""

    def intervals(self, stage: Stage) -> dict[str, tuple[float, float]]:
        """95 % intervals of metrics of the evaluation just measured, where the split is small enough to need them."""
        return {}

    def pictures(self, stage: Stage) -> dict[str, Picture]:
        """Figures (or Markdown texts) of the evaluation just measured, by dashboard tag."""
        return {}

    def predict(self, request: Request) -> Iterator[dict[str, Any] | str]:
        """The topic's own verb: answers, each a line of JSON, or text that is printed as it is."""
        for names, inputs in self.spec.read(request.needed_sources(), request.batch_size):
            arguments = (inputs,) if hasattr(inputs, "to") else inputs
            answers = self.predict_inputs(*(argument.to(self.device) for argument in arguments))
            for name, answer in zip(names, answers, strict=True):
                yield {"input": name, **answer}

    def predict_inputs(self, *inputs: Any) -> Sequence[dict[str, Any]]:
        """One JSON-able answer for each sample of what `spec.read` made: one argument, or a tuple of several."""
        raise NotImplementedError

    def welcome(self, name: str, companion: TenfoldModule) -> None:
        """Take in the companion `name`, frozen. Raises `UserError` where it does not fit (other classes, ...)."""
        self._companions[name] = companion

    def companion(self, name: str) -> TenfoldModule:
        """The companion `name`, on this module's device and of its type."""
        if name not in self._companions:
            raise UserError(f"model.{name}: found null, expected a run's address, such as recipe:<topic>/<recipe>")
        other = self._companions[name]
        if (other.device, other.dtype) != (self.device, self.dtype):
            other.to(self.device, self.dtype)
        return other

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Arguments of the exported network's forward for two samples."""
        return self.spec.example_inputs()

    def parts(self) -> list[str]:
        """The names of the networks that the config describes."""
        return [name for name, _ in self.named_children()]

    def preprocessing(self) -> dict[str, str]:
        """What the exported network takes and gives, in words, for the metadata of its file."""
        return self.spec.preprocessing()

    def free_dimensions(self) -> tuple[tuple[str, ...], ...]:
        """The leading dimensions of each of `example_inputs` that may have any size, by name."""
        return self.spec.free_dimensions()

    # One optimizer step ----------------------------------------------------------------------------------------------

    def on_fit_start(self) -> None:
        self.accumulation = Accumulation(self, self.stepping)
        self.accumulation.chosen = self.config.get("chosen_micro_batch_size")
        self.journal = Journal(self)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.update(self.optimized[0], batch)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.journal.batch_done(num_samples(batch))

    def update(self, name: str, batch: Any, accumulation: Accumulation | None = None) -> Sums:
        """One optimizer step of the part `name` on the whole of `batch`, computed in micro-batches; each term's mean.

        What is minimised is the part's `objective`; gradients flow into this part only.
        """
        index = self.optimized.index(name)
        optimizer = optimizer_of(self, index)
        losses, weights = self.objective(name)
        batch = self._drawn_to_train(batch)
        with training_only(self, name), refusing_one_for_batch_norm():
            optimizer.zero_grad()
            means = (accumulation or self.accumulation).backward(batch, losses, weights, zero_grad=optimizer.zero_grad)
        self.journal.record(means)
        with full_precision(self.device):
            optimizer.step()
        self.schedulers.step_done(index)
        return means

    def _drawn_to_train(self, batch: Any) -> Any:
        number = self.trainer.fit_loop.total_batch_idx
        times = self._draw_count[1] + 1 if self._draw_count[0] == number else 0
        self._draw_count = number, times
        return self.drawn(batch, self.config.get("seed", 0), number, times)

    def drawn(self, batch: Any, *key: int) -> Any:
        """The batch with its random numbers, which `key` decides."""
        if type(self).draw is TenfoldModule.draw:
            return batch
        return self.draw(batch, Draws(num_samples(batch), key, self))

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip once, on the whole gradient of the step, after mixed precision has unscaled it."""
        norm = clip_gradient(self, optimizer, measure=self.journal.due)
        if norm is not None and optimizer is self.trainer.optimizers[0]:
            self.journal.gradient_norm = norm

    # Optimizers and schedules ----------------------------------------------------------------------------------------

    def configure_optimizers(self) -> tuple[list[Optimizer], list[LRScheduler]]:
        config, scheduler = self.config["optimizer"], self.config.get("scheduler")
        optimizers = [build_optimizer(part_of(config, name), self.get_submodule(name)) for name in self.optimized]
        schedules = [scheduler and part_of(scheduler, name) for name in self.optimized]
        better = next(iter(self.metrics.values()))
        total_steps = self.trainer.estimated_stepping_batches
        self.schedulers = Schedulers(schedules, optimizers, total_steps, better, self._validates)
        return optimizers, self.schedulers.present

    def learning_rates(self) -> dict[str, float]:
        rates = [optimizer.param_groups[0]["lr"] for optimizer in self.trainer.optimizers]
        if len(rates) == 1:
            return {"train/lr": float(rates[0])}
        return {f"train/lr_{name}": float(rate) for name, rate in zip(self.optimized, rates, strict=True)}

    def on_train_epoch_end(self) -> None:
        if not self._validates:
            self.schedulers.epoch_done(None)

    # Evaluation ------------------------------------------------------------------------------------------------------

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self._evaluate(self.drawn(batch, 0, batch_idx), "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self._evaluate(self.drawn(batch, 1, batch_idx), "test")

    def _evaluate(self, batch: Any, stage: Stage) -> None:
        if num_samples(batch) == 0:  # a rank's empty share of a short batch
            return
        self._totals.setdefault(stage, Totals()).add(self.evaluate(batch, stage), self.weights(batch))

    def on_validation_start(self) -> None:
        if self._in_training:
            self.journal.pause()

    def on_validation_epoch_end(self) -> None:
        metrics = self._report("val")
        if self._in_training:  # before the checkpoint is saved, which is to hold the schedulers as they go on
            self.schedulers.epoch_done(metrics[next(iter(self.metrics))])

    def on_validation_end(self) -> None:
        if self._in_training:
            self.journal.go_on()

    @property
    def _validates(self) -> bool:
        """Whether a fit has validations, be it after every so many epochs only."""
        data: Any = getattr(self.trainer, "datamodule", None)
        return bool(self.trainer.limit_val_batches) and (data is None or "val" in data.splits)

    @property
    def _in_training(self) -> bool:
        """Whether the evaluation is one of a fit, other than the check before it."""
        return self.trainer.state.fn == "fit" and not self.trainer.sanity_checking

    def on_test_epoch_end(self) -> None:
        self._report("test")

    def _report(self, stage: Stage) -> dict[str, float]:
        if stage not in self._totals and self.world_size > 1:
            raise UserError(f"data: the {stage} split has fewer samples than there are devices ({self.world_size})")
        terms = self._totals.pop(stage, Totals()).means(self.summed_over_ranks)
        metrics = {"loss": sum(terms.values())} | self.measure(stage)
        self.log_dict({f"{stage}/{name}": float(value) for name, value in metrics.items()}, rank_zero_only=False)
        return metrics

    def summed_over_ranks(self, value: Tensor) -> Tensor:
        """The sum of all ranks' values, in place."""
        if self.world_size > 1:
            torch.distributed.all_reduce(value)
        return value

    @property
    def world_size(self) -> int:
        """Processes that share each batch; 1 outside a Trainer."""
        return self._trainer.world_size if self._trainer is not None else 1

    @property
    def rank(self) -> int:
        """This process among them, from 0."""
        return self._trainer.global_rank if self._trainer is not None else 0

    # Checkpoints -----------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.journal.check()
        self.config["chosen_micro_batch_size"] = self.accumulation.chosen
        checkpoint["tenfold"] = {"config": self.config, "spec": self.spec.to_dict(), **position_of(self)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._resumed = checkpoint.get("tenfold", {})
        if "config" in self._resumed:
            self.config["chosen_micro_batch_size"] = self._resumed["config"].get("chosen_micro_batch_size")
            if self._trainer is not None:
                retune(checkpoint, self._resumed["config"], self)

    def on_train_start(self) -> None:
        """A resumed run draws on, from random numbers and from the data, as if it had never stopped."""
        self.journal.start()
        go_on(self, self._resumed)
        self._resumed = {}
