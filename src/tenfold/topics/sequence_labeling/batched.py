r"""Sum–product over linear chains in operations on all sequences at once, for any device; `chains` is for use.

The backward recursion is the forward recursion on the reversed sequence with :math:`A^T`, so both run as one batched
product a step. They run on scaled probabilities rather than on logarithms (Rabiner 1989, section V.A): a matrix
product then takes the place of a log-sum-exp over :math:`K^2` terms. Sequences in which the number for a possible path
falls below what the type can hold are done again on logarithms.

Emissions are a table [symbols, tags], of which `symbols` [rows] names the one at each row of a `Layout`.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from tenfold.topics.sequence_labeling.layout import Layout

RESCALE_EVERY = {torch.float32: 4, torch.float64: 16}  # steps


class Scores(NamedTuple):
    """A table of emissions [symbols, tags], and scores to start with a tag [tags], to go from one to another
    [from, to], and to end [tags]. Minus infinity forbids."""

    emissions: Tensor
    start: Tensor
    transitions: Tensor
    end: Tensor


class Expectations(NamedTuple):
    """Log-partition [batch], marginals [batch, length, tags], zero where masked, and expected transitions.

    The log-partition of an empty sequence is zero, that of a sequence without a possible path minus infinity; neither
    has counts. Transitions are those of each sequence [batch, from, to], or their sum [from, to]. At last the `ends`
    [2, batch]: where sequences start and end in the flattened batch; of empty ones, a masked place.
    """

    log_partition: Tensor
    marginals: Tensor
    pairs: Tensor
    ends: Tensor


def expectations(symbols: Tensor, mask: Tensor, tags: Tensor | None, scores: Scores, summed: bool) -> Expectations:
    """See `chains.expectations`."""
    place, num_tags = Layout.of(mask), len(scores.start)
    ends = (torch.arange(len(mask), device=mask.device) * mask.shape[1]).repeat(2, 1)
    if not place.sizes:
        zeros = scores.emissions.new_zeros(len(mask), num_tags, num_tags)
        marginals = scores.emissions.new_zeros(*mask.shape, num_tags)
        return Expectations(marginals.sum((1, 2)), marginals, zeros.sum(0) if summed else zeros, ends)
    observed = place.gather(symbols)
    log_partition, marginals, pairs = _expect(place, observed, scores, summed)
    if tags is not None:
        path = place.gather(tags)
        log_partition -= _path_score(place, observed, path, scores)
        _subtract_path(place, path, marginals, pairs)
    ends[:, place.sequences[: place.first]] = torch.stack([place.positions[: place.first], place.positions[place.ends]])
    return Expectations(log_partition, place.scatter(marginals), pairs, ends)


def _expect(place: Layout, symbols: Tensor, scores: Scores, summed: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Log-partition [batch], marginals [rows, tags] and transitions of `symbols` [rows]."""
    log_partition, marginals, before, after, steps, lost = _scaled(place, symbols, scores)
    redone = None
    if bool(lost.any()):
        again = torch.zeros_like(place.lengths, dtype=torch.bool).index_fill_(0, place.sequences[lost], True)
        rows = again[place.sequences]
        redone = _logarithmic(
            Layout.of(place.scatter(rows)), scores._replace(emissions=scores.emissions[symbols[rows]])
        )
        log_partition = torch.where(again, redone[0], log_partition)
        marginals[rows] = redone[1]
        before[rows[place.first :]] = after[rows[place.first :]] = 0

    if summed:
        pairs = (before.t() @ after).mul_(steps)
    else:
        pairs = torch.bmm(place.scatter(before).transpose(1, 2), place.scatter(after)).mul_(steps)
    if redone is not None:
        pairs += redone[2].sum(0) if summed else redone[2]
    return log_partition, marginals, pairs


def _path_score(place: Layout, symbols: Tensor, tags: Tensor, scores: Scores) -> Tensor:
    """:math:`s(y)` [batch] of `tags` [rows]."""
    own = scores.emissions[symbols, tags]
    own[place.first :] += scores.transitions[tags[place.previous], tags[place.first :]]
    own[: place.first] += scores.start[tags[: place.first]] + scores.end[tags[place.ends]]
    return place.total(own)


def _subtract_path(place: Layout, tags: Tensor, marginals: Tensor, pairs: Tensor) -> None:
    """Take what `tags` [rows] count themselves off marginals [rows, tags] and pairs, of each sequence or summed."""
    one = marginals.new_ones(())
    marginals.scatter_add_(1, tags.unsqueeze(1), -one.expand(len(tags), 1))
    steps = tags[place.previous] * marginals.shape[1] + tags[place.first :]
    if pairs.dim() == 3:
        steps += place.sequences[place.first :] * pairs[0].numel()
    pairs.view(-1).index_add_(0, steps, -one.expand(len(steps)))


def _scaled(place: Layout, symbols: Tensor, scores: Scores) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    r"""The fast way: log-partition, marginals, and what the expected transitions are the product of.

    These are `before` and `after` each step [rows - first, tags], and `steps` [from, to]: a step goes from i to j with
    probability :math:`b_i M_{ij} a_j`. The last result marks the rows [rows] that spoil their sequence.
    """
    emissions, start, transitions, end = scores
    peaks, ends = peak(emissions), torch.stack([start, end])
    at_ends, at_steps = peak(ends), peak(transitions.flatten())
    first, steps = (ends - at_ends).exp_(), (transitions - at_steps).exp_()
    both = torch.cat([symbols, symbols[place.mirror]])
    states = (emissions - peaks).exp_().index_select(0, both).view(2, len(symbols), -1)
    entered, scales = _scan(place.sizes, states, first, torch.stack([steps, steps.t()]))

    forward, after = states[0], states[1].index_select(0, place.mirror)
    marginals = entered[0].mul_(after)
    overlap = marginals.sum(-1, keepdim=True)
    lost = overlap.squeeze(1) <= 1e9 * _tiny(overlap)
    if not _is_dense(first, steps):
        lost |= _underflows(place, states, scales, emissions, both, ends, torch.stack([transitions, transitions.t()]))
    share = overlap.reciprocal_()
    before, after = forward.index_select(0, place.previous), after.mul_(share)[place.first :]

    log_partition = place.total(peaks.squeeze(1)[symbols]) + (place.lengths - 1).clamp_(min=0) * at_steps
    rescaled = torch.cat(place.sequences.split(place.sizes)[:: RESCALE_EVERY[emissions.dtype]])
    log_partition.index_add_(0, rescaled, torch.cat(scales, 1)[0].log_().squeeze(1))
    last = forward[place.ends] @ first[1]
    lost[place.ends] |= last <= 1e9 * _tiny(last)
    log_partition.index_add_(0, place.sequences[: place.first], last.log_() + at_ends.sum())
    return log_partition, marginals.mul_(share), before, after, steps, lost


def _scan(sizes: list[int], states: Tensor, first: Tensor, steps: Tensor) -> tuple[Tensor, list[Tensor]]:
    r"""Run :math:`x_t = f_t \odot u_t / c_t`, :math:`u_t = x_{t-1} M`, in both directions.

    `states` [2, rows, tags] hold the factors `f` and become `x`; `first` [2, tags] is :math:`u_1`, `steps` [2, from,
    to] is `M`. Returns `u`, shaped as the states, and the scales `c` [2, size, 1] of every so many times: the largest
    state.
    """
    entered, scales = [], []
    every, floor, previous = RESCALE_EVERY[states.dtype], _tiny(states), states[:, :0]
    for t, (size, state) in enumerate(zip(sizes, states.split(sizes, 1), strict=True)):
        if t:
            entering = torch.bmm(previous if previous.shape[1] == size else previous[:, :size], steps)
        else:
            entering = first.unsqueeze(1).expand_as(state)
        state.mul_(entering)
        if t % every == 0:
            scales.append(state.amax(-1, keepdim=True).clamp_(min=floor))
            state.div_(scales[-1])
        entered.append(entering)
        previous = state
    return torch.cat(entered, 1), scales


def _is_dense(first: Tensor, steps: Tensor) -> bool:
    """Whether any tag can follow any other at weights so alike that a state which underflows was negligible for good.

    The weights are one at the most. Between two rescalings the largest state falls by less than their range at each
    step, and what a state is worth to the next step differs by less than that range too.
    """
    least = torch.minimum(first.amin(), steps.amin())
    return bool(least >= _tiny(steps) ** (0.8 / (RESCALE_EVERY[steps.dtype] + 1)))


def _underflows(
    place: Layout,
    states: Tensor,
    scales: list[Tensor],
    emissions: Tensor,
    symbols: Tensor,
    first: Tensor,
    steps: Tensor,
) -> Tensor:
    """Mark the rows in which a state that some path can reach came too near to zero, in either direction.

    `states` and `scales` as `_scan` gives them; `symbols` [2 * rows] are those of the states, `first` [2, tags] and
    `steps` [2, from, to] the scores.
    """
    lost = torch.zeros_like(place.mirror, dtype=torch.bool)
    unscaled = torch.ones_like(states[..., :1])
    for part, scale in zip(unscaled.split(place.sizes, 1)[:: RESCALE_EVERY[states.dtype]], scales, strict=False):
        part.copy_(scale)
    small = states * unscaled < 1e3 * _tiny(states)
    for way, observed in enumerate(symbols.view(2, -1)):
        some = small[way].any(1).nonzero().squeeze(1)  # few, unless emissions forbid tags
        reached, later = (first[way] > -math.inf).repeat(len(some), 1), some >= place.first
        previous = states[way][place.previous[some[later] - place.first]]
        reached[later] = (previous > 0).to(states) @ (steps[way] > -math.inf).to(states) > 0
        lost[some] |= (small[way][some] & reached & (emissions[observed[some]] > -math.inf)).any(1)
    return lost


def _logarithmic(place: Layout, scores: Scores) -> tuple[Tensor, Tensor, Tensor]:
    """The same on logarithms: slower, for any range of scores; emissions [rows, tags]."""
    emissions, start, transitions, end = scores
    states = torch.stack([emissions, emissions[place.mirror]])
    entered, scales = torch.empty_like(states), states.new_empty(*states.shape[:2], 1)
    into = torch.stack([transitions.t(), transitions]).unsqueeze(1)
    previous = None
    for entering, state, scale in zip(*(x.split(place.sizes, 1) for x in (entered, states, scales)), strict=True):
        if previous is None:
            entering.copy_(torch.stack([start, end]).unsqueeze(1))
        else:
            torch.logsumexp(previous[:, : state.shape[1]].unsqueeze(2) + into, -1, out=entering)
        state += entering
        scale.copy_(peak(state))
        state -= scale
        previous = state

    forward, backward = states[0], states[1][place.mirror]
    marginals = (entered[0] + backward).softmax(-1).nan_to_num_(0)
    pairs = emissions.new_zeros(len(place.lengths), *transitions.shape)
    sides = forward[place.previous], backward[place.first :], place.sequences[place.first :]
    for i, j, which in zip(*(side.split(place.sizes[1:]) for side in sides), strict=True):
        joint = i.unsqueeze(2) + transitions + j.unsqueeze(1)
        pairs.index_add_(0, which, joint.flatten(1).softmax(-1).nan_to_num_(0).view_as(joint))
    logs = scales[0].squeeze(1)
    logs[: place.first] += (forward[place.ends] + end).logsumexp(-1)
    return place.total(logs), marginals, pairs


def peak(scores: Tensor) -> Tensor:
    """The largest entry along the last dimension, kept; finite where all are minus infinity."""
    return scores.amax(-1, keepdim=True).clamp_(min=torch.finfo(scores.dtype).min)


def _tiny(values: Tensor) -> float:
    return torch.finfo(values.dtype).tiny
