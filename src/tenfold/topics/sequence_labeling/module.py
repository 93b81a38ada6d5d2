"""Sequence labelling: the likelihood of tag sequences, and what is right in the best one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from tenfold.data.base import DataModule
from tenfold.engine.accumulation import Sums, Weights
from tenfold.engine.module import Stage, TenfoldModule
from tenfold.engine.request import Request
from tenfold.errors import UserError
from tenfold.topics.sequence_labeling.data import TaggedBatch, TaggingData
from tenfold.topics.sequence_labeling.embedding import PADDING, UNKNOWN
from tenfold.topics.sequence_labeling.spans import OUTSIDE, extract
from tenfold.topics.sequence_labeling.spec import TaggingSpec
from tenfold.topics.sequence_labeling.tally import Example, Tally
from tenfold.topics.sequence_labeling.terminal import coloured

if TYPE_CHECKING:
    from tenfold.callbacks.pictures import Picture

EXAMPLES = 24  # sentences that the dashboard shows


@dataclass(frozen=True)
class View:
    """view: json, or color for a terminal.
    n: likeliest tag sequences that are told beside the best one, with their probabilities; of a CRF, in JSON.
    """

    view: Literal["json", "color"] = "json"
    n: int | None = None


class Tagger(TenfoldModule):
    r"""Minimises the negative log-likelihood of the gold tags, :math:`L = -\sum_i \log p(y_i \mid x_i) / \sum_i T_i`.

    For plain labels, such as parts of speech: chosen by token accuracy. `unseen_accuracy` is that of tokens which the
    vocabulary lacks. Gold tags that training does not have count as wrong, and are left out of the loss.

    network: inputs `[batch, time, width]` to emissions `[batch, time, tags]`, with a `decoder`.
    """

    metrics = {"accuracy": "max", "loss": "min", "unseen_accuracy": "max"}
    dashboard: ClassVar[tuple[str, ...]] = ("val/accuracy", "test/accuracy", "test/confusions", "test/tagged")

    options_class = View

    spec: TaggingSpec

    def __init__(self, spec: TaggingSpec, network: nn.Module) -> None:
        super().__init__(spec)
        self.network: Any = network  # any module with a `decoder`
        self.tallies: dict[str, Tally] = {}
        self.measured: dict[str, Tally] = {}

    def prepare(self, data: DataModule) -> None:
        """Let a network that counts do so, and fill the pretrained vectors, which later need no file."""
        if hasattr(self.network, "count"):
            train: Any = data.splits["train"]
            self.network.count(train.inputs[:-1].long(), train.tags[:-1].long(), train.lengths)
        vectors = data.vectors if isinstance(data, TaggingData) else None
        if vectors is None:
            return
        table = getattr(getattr(self.network, "embedding", None), "vectors", None)
        if table is None:
            raise UserError(
                f"data.vectors: {type(self.network).__name__} takes no word vectors; expected null, or a model "
                "such as sequence_labeling/bilstm_crf"
            )
        with torch.no_grad():
            table.weight[: UNKNOWN + 1] = 0
            table.weight[UNKNOWN + 1 :] = vectors.matrix / vectors.matrix.std()

    def losses(self, batch: TaggedBatch) -> Sums:
        return self._likelihood(self.network(batch.inputs), batch.tags)

    def weights(self, batch: TaggedBatch) -> Weights:
        return {"nll": self._known(batch.tags).sum()}

    def _likelihood(self, emissions: Tensor, tags: Tensor) -> Sums:
        return {"nll": self.network.decoder(emissions, tags, self._known(tags)).sum()}

    def _known(self, tags: Tensor) -> Tensor:
        return (tags >= 0) & (tags < len(self.spec.tags))

    def evaluate(self, batch: TaggedBatch, stage: Stage) -> Sums:
        emissions = self.network(batch.inputs)
        mask = batch.tags >= 0
        guessed = self.network.decoder.decode(self.weighed(emissions), mask)
        unseen = batch.inputs[..., 0] == UNKNOWN
        tally = self.tallies.setdefault(stage, Tally(self.spec, EXAMPLES))
        tally.add(batch.inputs[..., 0], guessed.cpu(), batch.tags.cpu(), unseen.cpu())
        return self._likelihood(emissions, batch.tags)

    def weighed(self, emissions: Tensor) -> Tensor:
        """The emissions that the best tags are looked for in."""
        return emissions

    def measure(self, stage: Stage) -> dict[str, float]:
        tally = self.tallies.pop(stage, None) or Tally(self.spec, EXAMPLES)
        tally.counts = self.summed_over_ranks(tally.counts.to(self.device)).cpu()
        tally.confusions = self.summed_over_ranks(tally.confusions.to(self.device)).cpu()
        self.measured[stage] = tally
        scores = tally.scores()
        return {name: scores[name] for name in self.metrics if name in scores}

    def pictures(self, stage: Stage) -> dict[str, Picture]:
        from tenfold.topics.sequence_labeling import pictures

        tally = self.measured[stage]
        drawn: dict[str, Picture] = {
            f"{stage}/confusions": pictures.confusions(tally.confusions, self.spec.gold_tags),
            f"{stage}/tagged": pictures.tagged(self._with_tokens(tally.examples, stage), self.spec),
        }
        if self.spec.scheme:
            drawn[f"{stage}/f1_by_type"] = pictures.f1_by_type(tally)
        if hasattr(self.network.decoder, "scores"):
            drawn[f"{stage}/transitions"] = pictures.transitions(self.network.decoder.scores()[1], self.spec.tags)
        return drawn

    def _with_tokens(self, examples: list[Example], stage: Stage) -> list[Example]:
        """The first sentences as they are written, where the data is at hand: batches hold indices only."""
        data = self._trainer.datamodule if self._trainer is not None else None  # type: ignore[attr-defined]
        if not isinstance(data, TaggingData) or self.world_size > 1:
            return examples
        return [example._replace(tokens=s.tokens) for example, s in zip(examples, data.sentences[stage], strict=False)]

    def predict(self, request: Request) -> Iterator[dict[str, Any] | str]:
        """Each line's tokens, their tags and the spans; or the line in colours."""
        gap = "" if self.spec.unit == "character" else " "
        kinds, options = self.spec.types or self.spec.tags, request.options
        if options.n and (options.view == "color" or not hasattr(self.network.decoder, "n_best")):
            found = "view=color" if options.view == "color" else "a softmax decoder"
            raise UserError(f"n: found {options.n} with {found}, expected null, or JSON from a CRF")
        for texts, inputs in self.spec.read(request.needed_sources(), request.batch_size):
            for text, answer in zip(texts, self.predict_inputs(inputs.to(self.device), options.n), strict=True):
                tokens = self.spec.tokenize(text)
                if options.view == "color":
                    yield coloured(tokens, answer["tags"], kinds, gap, bool(self.spec.scheme))
                    continue
                for told in [answer, *answer.get("n_best", [])]:
                    for span in told.get("spans", []):
                        span["text"] = gap.join(tokens[span["start"] : span["stop"]])
                yield {"input": text, "tokens": tokens, **answer}

    def predict_inputs(self, inputs: Any, n: int | None = None) -> Sequence[dict[str, Any]]:
        """The tags of each sequence, and the spans that they mark: from token `start` up to, not including, `stop`.

        With `n`, as many of the likeliest tags of a CRF beside them, fewer where fewer are possible.
        """
        mask = inputs[..., 0] != PADDING
        emissions, decoder = self.weighed(self.network(inputs)), self.network.decoder
        answers = [self._answer(row) for row in decoder.decode(emissions, mask).cpu()]
        if n:
            for answer, *ranked in zip(answers, *(found.cpu() for found in decoder.n_best(emissions, n, mask))):
                answer["n_best"] = [
                    {"probability": math.exp(chance)} | self._answer(path)
                    for path, chance in zip(*ranked, strict=True)
                    if chance > -math.inf
                ]
        return answers

    def _answer(self, path: Tensor) -> dict[str, Any]:
        tags = [self.spec.tags[k] for k in path[path >= 0].tolist()]
        return {"tags": tags} | ({"spans": [span._asdict() for span in extract(tags)]} if self.spec.scheme else {})


class SpanTagger(Tagger):
    """The same for tags that mark spans: chosen by span F1, exact and by conlleval's rules.

    outside_penalty: nats that `O` loses in decoding, no matter in the loss. The likeliest tags leave out spans that are
        less likely than not, where F1 is best with more of them; to be chosen on validation data.
    """

    metrics = {
        "f1": "max",
        "loss": "min",
        "precision": "max",
        "recall": "max",
        "accuracy": "max",
        "unseen_accuracy": "max",
    }
    dashboard = (*Tagger.dashboard, "val/f1", "test/f1", "test/f1_by_type")

    def __init__(self, spec: TaggingSpec, network: nn.Module, outside_penalty: float = 0.0) -> None:
        super().__init__(spec, network)
        if spec.scheme is None:
            raise UserError(
                "model: SpanTagger is chosen by the F1 of spans, which plain labels (data.scheme=null) do not mark; "
                "expected a model such as sequence_labeling/bilstm, or data.scheme=bioes"
            )
        penalty = torch.tensor([outside_penalty if tag == OUTSIDE else 0.0 for tag in spec.tags])
        self.register_buffer("penalty", penalty, persistent=False)

    penalty: Tensor

    def weighed(self, emissions: Tensor) -> Tensor:
        return emissions - self.penalty.to(emissions.dtype)
