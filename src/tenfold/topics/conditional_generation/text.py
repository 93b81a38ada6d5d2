"""Language models of a class: texts as asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from tenfold.data.base import DataModule, Labelled
from tenfold.data.labels import asked_labels
from tenfold.data.text.ragged import RaggedTexts
from tenfold.data.text.spec import TextSpec
from tenfold.data.text.vocabulary import Vocabulary
from tenfold.engine.accumulation import Sums, Weights
from tenfold.engine.draws import Draws
from tenfold.engine.module import Stage, TenfoldModule
from tenfold.engine.request import Request
from tenfold.errors import UserError, check_number
from tenfold.topics.classification.metrics import bootstrap_interval
from tenfold.topics.conditional_generation.copies import longest_shared_runs
from tenfold.topics.conditional_generation.options import TextOptions
from tenfold.topics.conditional_generation.subset import spread
from tenfold.topics.conditional_generation.text_sampling import END, Choice, generate
from tenfold.topics.conditional_generation.writing import joined, table

if TYPE_CHECKING:
    from tenfold.callbacks.pictures import Picture


class Conditioned(NamedTuple):
    """Texts and labels, and whether the label is to be left out; `dropped` `[batch]` of bool."""

    inputs: Tensor
    labels: Tensor
    dropped: Tensor


class ConditionalText(TenfoldModule):
    r"""Minimises the cross-entropy of each token, and of the text's end, after those before it and under its label,

    .. math:: L = -\sum_t \log p(x_t \mid x_1 \ldots x_{t-1}, y).

    A text that the data cut off at its greatest length has no end to be learned. Texts are then drawn token by token,
    by temperature, nucleus and guidance (see `Choice`).

    network: tokens and labels to logits, all at once and step by step (see `text_networks`).
    judge: the address of a classifier's run on such texts, which says whether what was generated is of its class.
    drop_condition: share of texts that train without their label, so that guidance has a model of all classes.
    temperature, top_p, guidance, length: of the texts generated; length in tokens.
    num_samples: texts generated after each validation; test_samples: after the test.
    """

    metrics = {
        "loss": "min",  # nats a token, ends counted
        "perplexity": "min",
        "label_agreement": "max",
        "longest_copy": "min",  # tokens of the longest run that a generated text shares with a training text
        "mean_copy": "min",  # the same, of each text in the mean
        "real_copy": "min",  # of as many texts of the split instead, which were never seen: what language repeats
        "distinct": "max",  # generated texts that are no repetition of another
    }
    dashboard = ("val/label_agreement", "test/label_agreement", "test/texts", "test/copies")
    companions = ("judge",)
    options_class = TextOptions
    takes_input = False
    spec: TextSpec

    def __init__(
        self,
        spec: TextSpec,
        network: nn.Module,
        judge: str | None = None,
        drop_condition: float = 0.1,
        temperature: float = 1.0,
        top_p: float = 0.9,
        guidance: float = 1.0,
        length: int = 60,
        num_samples: int = 100,
        test_samples: int = 200,
    ) -> None:
        super().__init__(spec)
        for name, count in (("num_samples", num_samples), ("test_samples", test_samples), ("length", length)):
            if count < 1:
                raise UserError(f"model.{name}: found {count}, expected at least 1")
        check_number("model.drop_condition", drop_condition, 0, 1)
        self.network, self.judge, self.drop_condition, self.length = network, judge, drop_condition, length
        self.choice = Choice(
            check_number("model.temperature", temperature, 0),
            check_number("model.top_p", top_p, 0, 1),
            check_number("model.guidance", guidance, 0),
        )
        self.empty = len(spec.class_names)
        self.samples = {"val": num_samples, "test": test_samples}
        self.likelihood: dict[str, Tensor] = {}  # of an evaluation: nats and tokens
        self.evaluated: dict[str, tuple[list[str], Tensor]] = {}
        self.agrees: dict[str, Tensor] = {}
        self.shared: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # longest copied runs: generated, unseen

    # Training --------------------------------------------------------------------------------------------------------

    def draw(self, batch: Labelled, draws: Draws) -> Conditioned:
        return Conditioned(batch.inputs, batch.labels, draws.uniform() < self.drop_condition)

    def weights(self, batch: Conditioned) -> Weights:
        return {"cross_entropy": int(self._learned(batch.inputs).sum())}

    def losses(self, batch: Conditioned) -> Sums:
        return self._cross_entropy(batch.inputs, batch.labels.masked_fill(batch.dropped, self.empty))

    def evaluate(self, batch: Conditioned, stage: Stage) -> Sums:
        found = self._cross_entropy(batch.inputs, batch.labels)
        pair = torch.stack([found["cross_entropy"].double(), self._learned(batch.inputs).sum().double()])
        self.likelihood[stage] = self.likelihood[stage] + pair if stage in self.likelihood else pair
        return found

    def _cross_entropy(self, tokens: Tensor, labels: Tensor) -> Sums:
        learned = self._learned(tokens)
        states = self.network.states(F.pad(tokens, (1, 0), value=END), labels)[learned]  # type: ignore[operator]
        targets = F.pad(tokens, (0, 1), value=END)[learned]
        return {"cross_entropy": F.cross_entropy(self.network.logits(states), targets, reduction="sum")}  # type: ignore[operator]

    def _learned(self, tokens: Tensor) -> Tensor:
        """Which of the tokens, one after the last included, are to be predicted, `[batch, time + 1]`."""
        lengths = (tokens != Vocabulary.padding_idx).sum(1, keepdim=True)
        places = torch.arange(tokens.shape[1] + 1, device=tokens.device)
        return (places < lengths) | ((places == lengths) & (lengths < self.spec.max_length))

    # Evaluation ------------------------------------------------------------------------------------------------------

    def measure(self, stage: Stage) -> dict[str, float]:
        nats, tokens = self.summed_over_ranks(self.likelihood.pop(stage)).tolist()
        labels = asked_labels(self.samples[stage], None, self.spec.class_names)
        generated = self.generate(labels, seed=0, length=self.length, choice=self.choice)
        texts = [self.text(row) for row in generated]
        self.evaluated[stage] = texts, labels
        found = {"perplexity": math.exp(min(nats / tokens, 700.0)), "distinct": len(set(texts)) / len(texts)}
        return found | self._judged(stage) | self._copied(stage, generated)

    def _judged(self, stage: Stage) -> dict[str, float]:
        if "judge" not in self._companions:
            return {}
        texts, labels = self.evaluated[stage]
        judge: Any = self.companion("judge")
        encoded = RaggedTexts(map(judge.spec.encode, texts), labels).fetch(torch.arange(len(texts)))
        self.agrees[stage] = judge.network(encoded.inputs.to(self.device)).argmax(1).cpu() == labels
        return {"label_agreement": float(self.agrees[stage].double().mean())}

    def _copied(self, stage: Stage, generated: Tensor) -> dict[str, float]:
        """Runs shared with the training texts, by what was generated and by real texts of the split, cut alike."""
        data: Any = getattr(self._trainer, "datamodule", None)
        if not isinstance(data, DataModule):
            return {}
        training = _rows(data.splits["train"])
        unseen = _rows(data.splits[stage])
        real = [unseen[index][: self.length] for index in spread(len(generated), len(unseen)).tolist()]
        runs = longest_shared_runs([_tokens(row) for row in generated], training)
        others = longest_shared_runs(real, training)
        self.shared[stage] = runs, others
        return {
            "longest_copy": float(runs.max()),
            "mean_copy": float(runs.mean()),
            "real_copy": float(others.mean()),
        }

    def intervals(self, stage: Stage) -> dict[str, tuple[float, float]]:
        return {"label_agreement": bootstrap_interval(self.agrees[stage])} if stage in self.agrees else {}

    def pictures(self, stage: Stage) -> dict[str, Picture]:
        from tenfold.topics.conditional_generation.pictures import copies

        texts, labels = self.evaluated[stage]
        asked = [self.spec.class_names[index] for index in labels[:20].tolist()]
        drawn: dict[str, Picture] = {f"{stage}/texts": table(asked, texts[:20])}
        if stage in self.shared:
            drawn[f"{stage}/copies"] = copies(*self.shared[stage])
        return drawn

    def welcome(self, name: str, companion: TenfoldModule) -> None:
        other = companion.spec
        if not isinstance(other, TextSpec):
            raise UserError("model.judge: found a run on other data, expected a classifier of texts")
        if tuple(other.class_names) != tuple(self.spec.class_names):
            names = ", ".join(other.class_names), ", ".join(self.spec.class_names)
            raise UserError(f"model.judge: its classes are {names[0]}, expected {names[1]}, as in the data")
        super().welcome(name, companion)

    # Texts -----------------------------------------------------------------------------------------------------------

    def generate(self, labels: Tensor, seed: int, length: int, choice: Choice) -> Tensor:
        """Tokens `[texts, length]`, on the CPU; the seed decides them."""
        was_training = self.training
        self.eval()
        generator = Generator(self.device).manual_seed(seed)
        found = generate(self.network, labels.to(self.device), self.empty, length, choice, generator)  # type: ignore[arg-type]
        self.train(was_training)
        return found.cpu()

    def text(self, row: Tensor) -> str:
        return joined([self.spec.tokens[index] for index in _tokens(row)], self.spec.tokenizer)

    def predict(self, request: Request) -> Iterator[dict[str, Any] | str]:
        options: TextOptions = request.options
        labels = asked_labels(options.n, options.condition, self.spec.class_names)
        length = self.length if options.length is None else options.length
        given = {name: getattr(options, name) for name in ("temperature", "guidance")}
        choice = self.choice._replace(**{name: value for name, value in given.items() if value is not None})
        for number, part in enumerate(labels.split(request.batch_size)):
            for label, row in zip(part, self.generate(part, options.seed + number, length, choice)):
                yield {"condition": self.spec.class_names[int(label)], "text": self.text(row)}

    def example_inputs(self) -> tuple[Tensor, ...]:
        return (*self.spec.example_inputs(), torch.arange(2) % len(self.spec.class_names))

    def free_dimensions(self) -> tuple[tuple[str, ...], ...]:
        return ("batch", "time"), ("batch",)


def _tokens(row: Tensor) -> list[int]:
    return row[row != END].tolist()


def _rows(split: Any) -> list[list[int]]:
    """The token indices of each text of a split."""
    stops = (split.starts + split.lengths).tolist()
    flat = split.tokens.tolist()
    return [flat[start:stop] for start, stop in zip(split.starts.tolist(), stops, strict=True)]
