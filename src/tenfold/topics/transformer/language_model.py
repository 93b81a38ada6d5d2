"""A language model of characters: each from those before it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tenfold.data.text.lines import lines_of
from tenfold.data.text.vocabulary import Vocabulary
from tenfold.engine.accumulation import Sums, Weights
from tenfold.engine.module import Stage, TenfoldModule
from tenfold.engine.request import Request
from tenfold.errors import UserError
from tenfold.topics.transformer.decoding import draw
from tenfold.topics.transformer.networks import Decoder
from tenfold.topics.transformer.running_text import Blocks
from tenfold.topics.transformer.spec import CharacterSpec

if TYPE_CHECKING:
    from tenfold.callbacks.pictures import Picture

FORBIDDEN = (Vocabulary.padding_idx, Vocabulary.unknown_idx)


@dataclass(frozen=True)
class TextOptions:
    """n: continuations of each prompt.
    length: characters that are drawn for each.
    temperature: 0 takes the most probable character, 1 draws as learned.
    seed: of the drawing.
    """

    n: int = 1
    length: int = 300
    temperature: float = 0.7
    seed: int = 1


class LanguageModel(TenfoldModule):
    r"""Minimises the mean over all predicted characters of :math:`-\log p(x_t \mid x_{<t})`, in nats.

    `bits_per_character` is the loss divided by ln 2, `perplexity` e to the loss (a token being a character).

    sample_length: characters of the text that is drawn for the dashboard.
    """

    metrics = {"bits_per_character": "min", "loss": "min", "perplexity": "min", "accuracy": "max"}
    dashboard = (
        "val/bits_per_character",
        "val/perplexity",
        "val/accuracy",
        "val/text",
        "test/bits_per_character",
        "test/text",
        "test/attention",
    )
    options_class = TextOptions

    spec: CharacterSpec

    def __init__(self, spec: CharacterSpec, network: Decoder, sample_length: int = 200) -> None:
        super().__init__(spec)
        if sample_length < 1:
            raise UserError(f"model.sample_length: found {sample_length}, expected at least 1")
        self.network, self.sample_length = network, sample_length
        self.counts: dict[str, Tensor] = {}  # of a stage: nats, characters predicted right, characters
        self.excerpts: dict[str, Tensor] = {}  # of a stage's last pass: its first block

    def losses(self, batch: Blocks) -> Sums:
        nats, _ = self._nats(batch)
        return {"cross_entropy": nats.sum()}

    def weights(self, batch: Blocks) -> Weights:
        return {"cross_entropy": len(batch.tokens) * (batch.tokens.shape[1] - 1) - batch.context.sum()}

    def _nats(self, batch: Blocks) -> tuple[Tensor, Tensor]:
        """Of each predicted character, 0 for those that only lead up to others; and whether it was predicted right."""
        logits, targets = self.network(batch.tokens[:, :-1]), batch.tokens[:, 1:]
        counts = torch.arange(targets.shape[1], device=targets.device) >= batch.context.unsqueeze(1)
        nats = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)
        return nats.where(counts, 0.0), (logits.argmax(2) == targets) & counts

    # Evaluation ------------------------------------------------------------------------------------------------------

    def evaluate(self, batch: Blocks, stage: Stage) -> Sums:
        nats, right = self._nats(batch)
        self.excerpts.setdefault(stage, batch.tokens[0])
        weight = torch.as_tensor(self.weights(batch)["cross_entropy"], device=nats.device)
        counts = torch.stack([nats.double().sum(), right.sum().double(), weight.double()])
        self.counts[stage] = self.counts[stage] + counts if stage in self.counts else counts
        return {"cross_entropy": nats.sum()}

    def measure(self, stage: Stage) -> dict[str, float]:
        nats, right, characters = self.summed_over_ranks(self.counts.pop(stage)).tolist()
        loss = nats / characters
        return {
            "bits_per_character": loss / math.log(2),
            "perplexity": math.exp(loss),
            "accuracy": right / characters,
        }

    def pictures(self, stage: Stage) -> dict[str, Picture]:
        from tenfold.topics.transformer import pictures

        excerpt = self.excerpts[stage][:48]
        prompts = excerpt.expand(3, -1)
        texts = self.continued(prompts, self.sample_length, temperature=0.7, seed=0)
        drawn: dict[str, Picture] = {f"{stage}/text": pictures.continuations(self.spec.decode(prompts)[0], texts)}
        if stage == "test":
            drawn["test/attention"] = pictures.self_attention(self, excerpt[:24])
        return drawn

    # Prediction ------------------------------------------------------------------------------------------------------

    def continued(self, prompt: Tensor, length: int, temperature: float, seed: int) -> list[str]:
        """The text drawn after each prompt `[batch, time]`."""
        generator = torch.Generator(prompt.device).manual_seed(seed)
        was_training = self.network.training
        self.network.eval()
        with torch.no_grad():
            state = self.network.begin()
            drawn = draw(self.network.advance, state, prompt, length, temperature, FORBIDDEN, generator)
        self.network.train(was_training)
        return self.spec.decode(drawn)

    def predict(self, request: Request) -> Iterator[dict[str, Any] | str]:
        """Each line of the sources is a prompt; without sources the text begins after an empty line."""
        options: TextOptions = request.options
        lines = [line for source in request.sources for line in lines_of(source)]
        prompts = [(line, self.spec.encode_prompt(line)) for line in lines]
        if not request.sources:
            prompts = [("", self._opening())]
        for prompt, tokens in prompts:
            rows = torch.tensor([tokens] * options.n, device=self.device)
            for text in self.continued(rows, options.length, options.temperature, options.seed):
                yield {"input": prompt, "output": text}

    def _opening(self) -> list[int]:
        """What stands before a text that begins: an empty line, or where there are no lines the commonest character."""
        newline = self.spec.encode("\n")[0]
        return [newline, newline] if newline != Vocabulary.unknown_idx else [Vocabulary.unknown_idx + 1]
