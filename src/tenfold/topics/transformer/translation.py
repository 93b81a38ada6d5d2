"""Translation: the target's tokens one after the other, each from the source and those before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from tenfold.data.text.vocabulary import Vocabulary
from tenfold.engine.accumulation import Sums, Weights
from tenfold.engine.gather import Gathered
from tenfold.engine.module import Stage, TenfoldModule
from tenfold.engine.request import Request
from tenfold.errors import UserError
from tenfold.topics.transformer.decoding import Decoded, Signs, beam_search, greedy
from tenfold.topics.transformer.networks import EncoderDecoder
from tenfold.topics.transformer.pairs import Pairs
from tenfold.topics.transformer.spec import END_IDX, START_IDX, PairSpec

if TYPE_CHECKING:
    from tenfold.callbacks.pictures import Picture

PADDING_IDX = Vocabulary.padding_idx
SIGNS = Signs(END_IDX, PADDING_IDX, (PADDING_IDX, Vocabulary.unknown_idx, START_IDX))


@dataclass(frozen=True)
class TranslationOptions:
    """beam: hypotheses kept in the search for the best translation; 1: greedy."""

    beam: int = 1


class Example(NamedTuple):
    """A pair, and what the model made of its source."""

    source: str
    target: str
    output: str


class Translator(TenfoldModule):
    r"""Minimises the mean over all target tokens, the end sign among them, of

    .. math:: -\log p(y_t \mid y_{<t}, x).

    Evaluation also translates, greedily: `exact_match` is the share of sources whose translation is the target, sign
    for sign.

    label_smoothing: part of the target spread evenly over all tokens, 0 to 1.
    translated: samples of a split that are translated, the first ones, for that metric; None: all.
    """

    metrics = {"exact_match": "max", "loss": "min", "token_accuracy": "max", "perplexity": "min"}
    dashboard = (
        "val/exact_match",
        "val/token_accuracy",
        "val/perplexity",
        "test/exact_match",
        "test/attention",
        "test/translations",
    )
    options_class = TranslationOptions

    spec: PairSpec

    def __init__(
        self,
        spec: PairSpec,
        network: EncoderDecoder,
        label_smoothing: float = 0.0,
        translated: int | None = None,
    ) -> None:
        super().__init__(spec)
        if not 0 <= label_smoothing < 1:
            raise UserError(f"model.label_smoothing: found {label_smoothing}, expected 0 to below 1")
        if translated is not None and translated < 1:
            raise UserError(f"model.translated: found {translated}, expected null or at least 1")
        self.network = network
        self.label_smoothing, self.translated = label_smoothing, translated
        self.counts: dict[str, Tensor] = {}  # of a stage: nats, tokens predicted right, tokens
        self.outputs: dict[str, Gathered] = {}  # of a stage: whether each translation is right
        self.examples: dict[str, list[Example]] = {}  # of a stage's last pass
        self._remaining: int | None = None  # samples that this pass is still to translate; None: all

    def losses(self, batch: Pairs) -> Sums:
        logits = self.network(batch.source, batch.target[:, :-1])
        return {"cross_entropy": self._cross_entropy(logits, batch.target, self.label_smoothing)}

    def weights(self, batch: Pairs) -> Weights:
        return {"cross_entropy": (batch.target[:, 1:] != PADDING_IDX).sum()}

    def _cross_entropy(self, logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
        return F.cross_entropy(
            logits.flatten(0, 1),
            target[:, 1:].flatten(),
            ignore_index=PADDING_IDX,
            reduction="sum",
            label_smoothing=smoothing,
        )

    # Evaluation ------------------------------------------------------------------------------------------------------

    def evaluate(self, batch: Pairs, stage: Stage) -> Sums:
        logits, target = self.network(batch.source, batch.target[:, :-1]), batch.target[:, 1:]
        inside = target != PADDING_IDX
        right = ((logits.argmax(2) == target) & inside).sum()
        loss = self._cross_entropy(logits, batch.target, 0.0)
        counts = torch.stack([loss.double(), right.double(), inside.sum().double()])
        self.counts[stage] = self.counts[stage] + counts if stage in self.counts else counts
        self._translate_some(batch, stage)
        return {"cross_entropy": loss}

    def _translate_some(self, batch: Pairs, stage: Stage) -> None:
        """This rank's share of the samples that are to be translated."""
        if stage not in self.outputs:
            self.outputs[stage], self.examples[stage], self._remaining = Gathered(), [], self.translated
            if self.translated is not None:
                self._remaining = max(1, self.translated // self.world_size)
        size = len(batch.source) if self._remaining is None else min(len(batch.source), self._remaining)
        if size == 0:
            return
        if self._remaining is not None:
            self._remaining -= size
        source, target = batch.source[:size], batch.target[:size, 1:]
        output = self.translate(source).tokens
        length = max(output.shape[1], target.shape[1])
        padded = (F.pad(tokens, (0, length - tokens.shape[1]), value=PADDING_IDX) for tokens in (output, target))
        self.outputs[stage].add(torch.eq(*padded).all(1))
        kept = self.examples[stage]
        if len(kept) < 16:
            texts = self.spec.decode_source(source), self.spec.decode(target), self.spec.decode(output)
            kept += [Example(*row) for row in zip(*texts, strict=True)][: 16 - len(kept)]

    def measure(self, stage: Stage) -> dict[str, float]:
        (right,) = self.outputs.pop(stage).all()
        nats, tokens_right, tokens = self.summed_over_ranks(self.counts.pop(stage)).tolist()
        return {
            "exact_match": float(right.double().mean()),
            "token_accuracy": tokens_right / tokens,
            "perplexity": float(torch.tensor(nats / tokens, dtype=torch.float64).exp()),
        }

    def pictures(self, stage: Stage) -> dict[str, Picture]:
        from tenfold.topics.transformer import pictures

        examples = self.examples[stage]
        return {
            f"{stage}/translations": pictures.translations(examples),
            f"{stage}/attention": pictures.cross_attention(self, examples[0].source),
        }

    def start(self, source: Tensor) -> Tensor:
        """A start sign for each source, `[batch, 1]`."""
        return source.new_full((len(source), 1), START_IDX)

    # Prediction ------------------------------------------------------------------------------------------------------

    def translate(self, source: Tensor, beam: int = 1, begun: Tensor | None = None) -> Decoded:
        """The translations of source tokens `[batch, time]`, as target tokens without the start sign.

        begun: target tokens `[batch, time]` that are given, the start sign among them; None: that alone.
        """
        if begun is None:
            begun = self.start(source)
        state, length = self.network.begin(source), self.spec.max_target_length
        if beam == 1:
            return greedy(self.network.advance, state, begun, length, SIGNS)
        return beam_search(self.network.advance, state, begun, beam, length, SIGNS)

    def predict(self, request: Request) -> Iterator[dict[str, Any] | str]:
        beam = request.options.beam
        for lines, source in self.spec.read(request.needed_sources(), request.batch_size):
            decoded = self.translate(source.to(self.device), beam)
            for line, answer in zip(lines, self._answers(decoded), strict=True):
                unknown = self.spec.unknown(line)
                yield {"input": line, **answer} | ({"unknown": unknown} if unknown else {})

    def predict_inputs(self, inputs: Tensor, begun: Tensor | None = None) -> Sequence[dict[str, Any]]:
        """The greedy translation of each source, and its log-probability."""
        return self._answers(self.translate(inputs, begun=begun))

    def _answers(self, decoded: Decoded) -> list[dict[str, Any]]:
        texts = self.spec.decode(decoded.tokens)
        scores = [round(score, 6) for score in decoded.scores.tolist()]
        return [{"output": text, "log_probability": score} for text, score in zip(texts, scores, strict=True)]
