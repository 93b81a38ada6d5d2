"""Texts drawn token by token from a language model that knows their class."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Generator, Tensor

from tenfold.data.text.vocabulary import Vocabulary

END = Vocabulary.padding_idx  # stands before each text and after it


class LanguageModel(Protocol):
    """What sampling needs of a network (see `text_networks`)."""

    def begin(self, labels: Tensor) -> Any: ...

    def advance(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]: ...


class Choice(NamedTuple):
    """How a token is chosen.

    temperature: what the logits are divided by; 0 takes the most probable token.
    top_p: the nucleus: the most probable tokens that hold this much of the probability; 1 for all.
    guidance: w in logits = empty + w (conditional - empty); 1 is the model as learned.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    guidance: float = 1.0


@torch.no_grad()
def generate(
    network: LanguageModel, labels: Tensor, empty: int, length: int, choice: Choice, generator: Generator
) -> Tensor:
    """Tokens `[batch, length]` of a text for each of `labels` `[batch]`, filled up with padding after its end.

    `empty` is the label that stands for no condition. Unknown tokens are never drawn.
    """
    guides = choice.guidance != 1
    state = network.begin(torch.cat([labels, torch.full_like(labels, empty)]) if guides else labels)
    token = torch.full_like(labels, END)
    running = torch.ones_like(labels, dtype=torch.bool)
    texts: list[Tensor] = []
    for _ in range(length):
        shown = torch.cat([token, token]) if guides else token
        logits, state = network.advance(shown.unsqueeze(1), state)
        logits = _guided(logits[:, -1].float(), choice.guidance)
        token = drawn(logits, choice, generator, ends=bool(texts)).where(running, END)
        running &= token != END
        texts.append(token)
        if not running.any():
            break
    found = torch.stack(texts, 1)
    return torch.nn.functional.pad(found, (0, length - found.shape[1]), value=END)


def _guided(logits: Tensor, guidance: float) -> Tensor:
    if guidance == 1:
        return logits
    conditional, unconditional = logits.log_softmax(1).chunk(2)
    return unconditional + guidance * (conditional - unconditional)


def drawn(logits: Tensor, choice: Choice, generator: Generator, ends: bool = True) -> Tensor:
    """A token `[batch]` from logits `[batch, vocab_size]`; `ends`: whether the text may end here."""
    logits = logits.clone()
    logits[:, Vocabulary.unknown_idx] = -torch.inf
    if not ends:
        logits[:, END] = -torch.inf
    if choice.temperature == 0:
        return logits.argmax(1)
    probabilities = nucleus((logits / choice.temperature).softmax(1), choice.top_p)
    return torch.multinomial(probabilities, 1, generator=generator).squeeze(1)


def nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """The fewest most probable tokens that hold `top_p` of the probability, renormalised; others at 0 (Holtzman et al.,
    2020, arXiv 1904.09751)."""
    if top_p >= 1:
        return probabilities
    ordered, order = probabilities.sort(1, descending=True)
    before = ordered.cumsum(1) - ordered  # what more probable tokens hold: the first one always stays
    kept = torch.zeros_like(probabilities).scatter(1, order, ordered.where(before < top_p, 0.0))
    return kept / kept.sum(1, keepdim=True)
