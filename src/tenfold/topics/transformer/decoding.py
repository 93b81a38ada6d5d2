"""Decoding: the most probable text by greedy or beam search, or a text drawn token by token.

`advance(tokens, state)` gives the logits after tokens `[batch, time]` that follow those that the state has seen, and
the state goes on to keep them: a step computes one token, however long the text has grown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tenfold.topics.transformer.attention import State

Advance = Callable[[Tensor, State], Tensor]


class Signs(NamedTuple):
    """Tokens with a meaning of their own: what ends a text, what fills it up after, and what is in none."""

    end: int
    padding: int
    forbidden: tuple[int, ...]  # `padding` among them


class Decoded(NamedTuple):
    """Tokens `[batch, time]`, each row up to its end sign and then padding, and their log-probabilities `[batch]`."""

    tokens: Tensor
    scores: Tensor


def greedy(advance: Advance, state: State, begun: Tensor, max_length: int, signs: Signs) -> Decoded:
    """The most probable token at each step after `begun` `[batch, time]`, up to the end sign or `max_length` tokens."""
    tokens, scores, new = [], [], begun
    ended = torch.zeros(len(begun), dtype=torch.bool, device=begun.device)
    for _ in range(max_length):
        best, token = _log_probabilities(advance(new, state), signs.forbidden).max(1)
        token = token.masked_fill(ended, signs.padding)
        scores.append(best.masked_fill(ended, 0.0))
        tokens.append(token)
        ended = ended | (token == signs.end)
        if ended.all():
            break
        new = token.unsqueeze(1)
    return Decoded(torch.stack(tokens, 1), torch.stack(scores).sum(0))


def beam_search(advance: Advance, state: State, begun: Tensor, beam: int, max_length: int, signs: Signs) -> Decoded:
    r"""The best of the `beam` hypotheses that are kept at each step, by :math:`\sum_t \log p(y_t | y_{<t}, x)`.

    One that has ended stays among them as it is while its score is among the highest. A beam of 1 is greedy search; one
    as large as the number of all texts of up to `max_length` tokens finds the most probable of them.
    """
    rows = torch.arange(len(begun), device=begun.device).unsqueeze(1)
    copies = rows.repeat_interleave(beam, 1).flatten()
    state.reorder(copies)
    new, shape = begun[copies], (len(begun), beam)
    tokens = new[:, :0].unflatten(0, shape)  # [batch, beam, time]
    scores = torch.full(shape, -torch.inf, device=begun.device)
    scores[:, 0] = 0.0  # to begin with there is one hypothesis, the empty one
    for _ in range(max_length):
        steps = _log_probabilities(advance(new, state), signs.forbidden).unflatten(0, shape)
        steps = _padded_after_end(steps, tokens[:, :, -1:], signs)
        scores, best = (scores.unsqueeze(2) + steps).flatten(1).topk(beam, 1)
        parents, last = best // steps.shape[2], best % steps.shape[2]
        tokens = torch.cat([tokens.take_along_dim(parents.unsqueeze(2), 1), last.unsqueeze(2)], 2)
        if ((last == signs.end) | (last == signs.padding)).all():
            break
        state.reorder((rows * beam + parents).flatten())
        new = last.reshape(-1, 1)
    return Decoded(tokens[:, 0], scores[:, 0])


def draw(
    advance: Advance,
    state: State,
    prompt: Tensor,
    length: int,
    temperature: float,
    forbidden: Sequence[int],
    generator: torch.Generator | None = None,
) -> Tensor:
    """`[batch, length]` tokens after the prompt `[batch, time]`, each drawn from softmax(logits / temperature): at 0
    the most probable, at 1 as learned."""
    drawn: list[Tensor] = []
    new = prompt
    for _ in range(length):
        log_probabilities = _log_probabilities(advance(new, state), forbidden)
        if temperature == 0:
            new = log_probabilities.argmax(1, keepdim=True)
        else:
            new = torch.multinomial((log_probabilities / temperature).softmax(1), 1, generator=generator)
        drawn.append(new)
    return torch.cat(drawn, 1)


def _log_probabilities(logits: Tensor, forbidden: Sequence[int]) -> Tensor:
    """Of the token after the last, `[batch, vocab]`."""
    last = logits[:, -1].to(torch.promote_types(logits.dtype, torch.float32))
    return last.index_fill(1, torch.tensor(forbidden, device=last.device), -torch.inf).log_softmax(1)


def _padded_after_end(steps: Tensor, last: Tensor, signs: Signs) -> Tensor:
    """After its end a hypothesis, whose last token is `[batch, beam, 0 or 1]`, goes on with padding only, at no
    cost."""
    ended = ((last == signs.end) | (last == signs.padding)).any(2, keepdim=True)
    nothing_but_padding = torch.full_like(steps[0, 0], -torch.inf)
    nothing_but_padding[signs.padding] = 0.0
    return torch.where(ended, nothing_but_padding, steps)
