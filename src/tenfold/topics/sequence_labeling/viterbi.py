"""Max–product over linear chains: the best tag sequence, and the n best."""

import torch
from torch import Tensor

from tenfold.topics.sequence_labeling.chains import arrays, compiled_for
from tenfold.topics.sequence_labeling.layout import Layout

NO_TAG = -1


def best_path(
    emissions: Tensor, mask: Tensor, start: Tensor, transitions: Tensor, end: Tensor
) -> tuple[Tensor, Tensor]:
    """The tags of the best path [batch, length], `NO_TAG` where `mask` is false, and its score [batch].

    `emissions` [batch, length, tags], the rest as in `chains`. The score is minus infinity where every path is
    forbidden, and zero for an empty sequence. The way forward keeps maxima only; the way back finds the arg max for
    the tag it comes to, which is `K` comparisons a step where keeping back pointers costs :math:`K^2`.
    """
    start, transitions, end = (scores.to(emissions) for scores in (start, transitions, end))
    kernels = compiled_for(emissions)
    if kernels is not None:
        paths, best = torch.full(mask.shape, NO_TAG), emissions.new_zeros(len(mask))
        kernels.best_path(*arrays(mask, emissions, start, transitions, transitions.t(), end, paths, best))
        return paths, best
    place = Layout.of(mask)
    observed = place.gather(emissions)
    scores: list[Tensor] = []
    joint = observed.new_empty(len(start), 0, len(start))  # maxima over the first dimension are the fast ones
    steps, previous = transitions.unsqueeze(1), start.unsqueeze(0)
    for size, emission in zip(place.sizes, observed.split(place.sizes), strict=True):
        if not scores:
            previous = emission + start
        else:
            if len(previous) != size:
                previous = previous[:size]
            if joint.shape[1] != size:
                joint = joint.new_empty(len(start), size, len(start))
            previous = torch.add(previous.t().unsqueeze(2), steps, out=joint).amax(0).add_(emission)
        scores.append(previous)

    best = observed.new_zeros(len(mask))
    if scores:
        best[place.sequences[: place.first]] = (torch.cat(scores)[place.ends] + end).amax(-1)
    return place.scatter(_trace_back(scores, transitions, end), NO_TAG), best


def _trace_back(scores: list[Tensor], transitions: Tensor, end: Tensor) -> Tensor:
    """Follow the best scores, [rows, tags] of each time, from each end to the front: tags of all rows."""
    table = torch.cat([transitions.t(), end.unsqueeze(0)])  # what each tag adds, by the tag that follows; then by none
    nothing = torch.full((len(scores[0]) if scores else 0,), len(end), device=end.device)
    tag, path = nothing[:0], []
    for score in reversed(scores):
        if len(score) > len(tag):
            tag = torch.cat([tag, nothing[len(tag) : len(score)]])
        tag = table.index_select(0, tag).add_(score).argmax(-1)
        path.append(tag)
    return torch.cat([nothing[:0], *reversed(path)])


def n_best_paths(
    emissions: Tensor, n: int, mask: Tensor, start: Tensor, transitions: Tensor, end: Tensor
) -> tuple[Tensor, Tensor]:
    """The `n` best paths [batch, n, length], best first, and their scores [batch, n].

    Where a sequence has fewer possible paths, the rest hold `NO_TAG` and score minus infinity.
    """
    place = Layout.of(mask)
    none = float("-inf")
    scores = emissions.new_full((place.first, len(start), n), none)
    into = transitions.t().unsqueeze(-1)
    pointers: list[Tensor] = []  # of the first time, none
    for size, observed in zip(place.sizes, place.gather(emissions).split(place.sizes), strict=True):
        if not pointers:
            scores[..., 0] = observed + start
            pointers.append(scores[:0])
            continue
        top, pointer = (scores[:size].unsqueeze(1) + into).flatten(2).topk(n, dim=-1)
        scores[:size] = top + observed.unsqueeze(-1)
        pointers.append(pointer.flatten(1))

    found, state = (scores + end.unsqueeze(-1)).flatten(1).topk(n, dim=-1)
    path = [state[:0]]
    for size, pointer in zip(reversed(place.sizes), reversed(pointers), strict=True):
        path.append((state[:size] // n).masked_fill(found[:size] == none, NO_TAG))
        if len(pointer):
            state[:size] = pointer.gather(1, state[:size])
    best = emissions.new_full((len(mask), n), none)
    best[:, 0] = 0  # of empty sequences
    best[place.sequences[: place.first]] = found
    return place.scatter(torch.cat(path[::-1]), NO_TAG).transpose(1, 2), best
