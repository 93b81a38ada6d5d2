"""Max–product over linear chains: the best tag sequence, and the n best."""

import torch
from torch import Tensor

from tenfold.topics.sequence_labeling.layout import Layout

NO_TAG = -1


def best_path(
    emissions: Tensor, mask: Tensor, start: Tensor, transitions: Tensor, end: Tensor
) -> tuple[Tensor, Tensor]:
    """The tags of the best path [batch, length], `NO_TAG` where `mask` is false, and its score [batch].

    Shapes are those of `chains.expectations`. The score is minus infinity where every path is forbidden, and zero
    for an empty sequence. The way forward keeps maxima only; the way back finds the arg max for the tag it comes to,
    which is `K` comparisons a step where keeping back pointers costs :math:`K^2`.
    """
    place = Layout.of(mask)
    observed = place.gather(emissions.masked_fill(~mask.unsqueeze(-1), 0))
    scores = torch.empty_like(observed)
    torch.add(observed[0], start, out=scores[0])
    joint = observed.new_empty(len(start), *observed.shape[1:])  # maxima over the first dimension are the fast ones
    steps, previous = transitions.unsqueeze(1), scores[0]
    for score, emission in zip(scores[1:], observed[1:], strict=True):
        torch.add(previous.t().unsqueeze(2), steps, out=joint)
        torch.amax(joint, 0, out=score)
        previous = score.add_(emission)

    best = (place.last(scores) + end).amax(-1).where(place.lengths > 0, 0)
    path = _trace_back(scores, place, transitions, end)
    return place.scatter(path - NO_TAG, mask.shape[1]) + NO_TAG, best


def _trace_back(scores: Tensor, place: Layout, transitions: Tensor, end: Tensor) -> Tensor:
    """Follow the best scores [time, batch, tags] from each end to the front: tags [time, batch]."""
    nothing = len(end)
    table = torch.cat([transitions.t(), end.unsqueeze(0)])  # what each tag adds, by the tag that follows; then by none
    tag = torch.full_like(place.lengths, nothing)
    path = torch.empty_like(place.positions)
    steps = list(zip(scores, ~place.valid, path, strict=True))
    for score, after_end, out in reversed(steps):
        tag = torch.argmax(table.index_select(0, tag).add_(score), -1, out=out).masked_fill_(after_end, nothing)
    return path.masked_fill_(~place.valid, NO_TAG)


def n_best_paths(
    emissions: Tensor, n: int, mask: Tensor, start: Tensor, transitions: Tensor, end: Tensor
) -> tuple[Tensor, Tensor]:
    """The `n` best paths [batch, n, length], best first, and their scores [batch, n].

    Where a sequence has fewer possible paths, the rest hold `NO_TAG` and score minus infinity.
    """
    place = Layout.of(mask)
    observed = place.gather(emissions.masked_fill(~mask.unsqueeze(-1), 0))
    time, batch, num_tags = observed.shape
    none = float("-inf")
    scores = torch.full((batch, num_tags, n), none, dtype=observed.dtype, device=observed.device)
    scores[..., 0] = observed[0] + start
    stay = torch.arange(num_tags * n, device=observed.device).view(num_tags, n)
    pointers = stay.expand(time, batch, -1, -1).clone()
    into = transitions.t().unsqueeze(-1)
    for t in range(1, time):
        joint = (scores.unsqueeze(1) + into).flatten(2)
        top, pointer = joint.topk(n, dim=-1)
        valid = place.valid[t].view(-1, 1, 1)
        scores = torch.where(valid, top + observed[t].unsqueeze(-1), scores)
        pointers[t] = torch.where(valid, pointer, stay)

    best, state = (scores + end.unsqueeze(-1)).flatten(1).topk(n, dim=-1)
    paths = torch.empty(time, batch, n, dtype=torch.long, device=observed.device)
    for t in range(time - 1, -1, -1):
        paths[t] = state // n
        state = pointers[t].flatten(1).gather(1, state)
    empty = place.lengths == 0
    best[empty] = torch.where(stay.flatten()[:n] == 0, 0.0, none).to(best)
    paths = paths.masked_fill((best == none) | ~place.valid.unsqueeze(-1), NO_TAG)
    paths = place.scatter(paths - NO_TAG, mask.shape[1]) + NO_TAG
    return paths.transpose(1, 2), best
