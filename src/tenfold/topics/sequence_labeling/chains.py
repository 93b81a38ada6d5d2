r"""Sum–product over linear chains: log-partition, marginals and expected transitions, for the CRF and the HMM.

A chain over valid positions :math:`t = 1..T` with tags :math:`y_t` out of `K` has the score

.. math:: s(y) = a_{y_1} + \sum_t e_{t, y_t} + \sum_{t>1} A_{y_{t-1}, y_t} + z_{y_T}

The backward recursion is the forward recursion on the reversed sequence with :math:`A^T`, so both run as one batched
product a step. They run on scaled probabilities rather than on logarithms (Rabiner 1989, section V.A): a matrix
product then takes the place of a log-sum-exp over :math:`K^2` terms. Sequences in which the number for a possible path
falls below what the type can hold are done again on logarithms.

All functions take scores to start with a tag, to go from one to another, and to end: `start` [tags], `transitions`
[from, to] and `end` [tags]. Minus infinity forbids.
"""

import math

import torch
from torch import Tensor

from tenfold.topics.sequence_labeling.layout import Layout

RESCALE_EVERY = 4


def expectations(
    emissions: Tensor, mask: Tensor, start: Tensor, transitions: Tensor, end: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-partition [batch], marginals [batch, length, tags] and expected transitions [batch, from, to].

    `emissions` [batch, length, tags] with a boolean `mask` [batch, length] of any form. Masked positions have marginals
    of zero. The log-partition of an empty sequence is zero, that of a sequence without a possible path minus infinity;
    neither has counts.
    """
    place = Layout.of(mask)
    log_partition, marginals, pairs = expectations_in(place, emissions, mask, start, transitions, end)
    return log_partition, place.scatter(marginals, mask.shape[1]), pairs


def expectations_in(
    place: Layout, emissions: Tensor, mask: Tensor, start: Tensor, transitions: Tensor, end: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The same for a known layout, with marginals left in it: [time, batch, tags]."""
    emissions = emissions.masked_fill(~mask.unsqueeze(-1), 0)
    log_partition, marginals, pairs, exact = _scaled(place, emissions, start, transitions, end)
    if not bool(exact.all()):
        redo = (~exact).nonzero().squeeze(1)
        again = _logarithmic(place.take(redo), emissions, start, transitions, end)
        log_partition[redo], marginals[:, redo], pairs[redo] = again
    return log_partition, marginals, pairs


def path_score(
    place: Layout, emissions: Tensor, tags: Tensor, start: Tensor, transitions: Tensor, end: Tensor
) -> Tensor:
    """:math:`s(y)` [batch] of `tags` [time, batch], laid out by `place` with zeros past each end."""
    own = emissions.flatten(0, 1)[place.positions, tags].where(place.valid, 0).sum(0)
    moves = transitions[tags[:-1], tags[1:]].where(place.valid[1:], 0).sum(0)
    return own + moves + (start[tags[0]] + end[place.last(tags)]).where(place.valid[0], 0)


def subtract_path(place: Layout, tags: Tensor, marginals: Tensor, pairs: Tensor) -> None:
    """Take what `tags` [time, batch] count themselves off marginals [time, batch, tags] and pairs [batch, from, to]."""
    ones = place.valid.to(marginals)
    marginals.scatter_add_(2, tags.unsqueeze(2), -ones.unsqueeze(2))
    moves = tags[:-1] * pairs.shape[-1] + tags[1:]
    pairs.flatten(1).scatter_add_(1, moves.t(), -ones[1:].t())


def _scaled(
    place: Layout, emissions: Tensor, start: Tensor, transitions: Tensor, end: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The fast way; the fourth result [batch] says which sequences it holds for."""
    peaks = _peak(emissions)
    shifts = [_peak(scores.flatten()) for scores in (start, transitions, end)]
    first, steps, last = (start - shifts[0]).exp(), (transitions - shifts[1]).exp(), (end - shifts[2]).exp()
    states = place.gather_both((emissions - peaks).exp_())
    before, scales = _scan(states, torch.stack([first, last]), torch.stack([steps, steps.t()]))

    valid = place.valid.unsqueeze(-1)
    forward, backward = states[0], place.reverse(states[1])
    marginals = before[0] * backward
    overlap = marginals.sum(-1, keepdim=True)
    exact = ((overlap > 1e9 * _tiny(overlap)) | ~valid).all(0).squeeze(-1)
    if not _is_dense(start, transitions, end):
        allowed = torch.stack([start, end]), torch.stack([transitions, transitions.t()])
        exact &= ~_underflows(
            states, scales, place.gather_both(emissions), place.valid, *(a > -math.inf for a in allowed)
        )

    share = overlap.reciprocal_().where(valid, 0)
    pairs = steps * torch.bmm(forward[:-1].permute(1, 2, 0), (backward * share)[1:].transpose(0, 1))
    log_partition = (place.last(forward) @ last).log() + scales[0].log().where(valid, 0).sum((0, 2))
    log_partition += peaks.sum((1, 2)) + shifts[0] + shifts[2] + (place.lengths - 1) * shifts[1]
    return log_partition.where(place.lengths > 0, 0), marginals.mul_(share), pairs, exact


def _scan(states: Tensor, first: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    r"""Run :math:`x_t = f_t \odot u_t / c_t`, :math:`u_t = x_{t-1} M`, in both directions.

    `states` [2, time, batch, tags] hold the factors `f` and become `x`; `first` [2, tags] is :math:`u_1`, `steps`
    [2, from, to] is `M`. Returns `u`, shaped as the states, and the scales `c` [2, time, batch, 1]: now and
    then the largest state, else one.
    """
    before = torch.empty_like(states)
    scales = states.new_ones(*states.shape[:3], 1)
    before[:, 0] = first.unsqueeze(1)
    previous, floor = states[:, 0], _tiny(states)
    for t, (entering, state) in enumerate(zip(before.unbind(1), states.unbind(1), strict=True)):
        if t:
            torch.bmm(previous, steps, out=entering)
        state.mul_(entering)
        if t % RESCALE_EVERY == 0:
            state.div_(torch.amax(state, -1, keepdim=True, out=scales[:, t]).clamp_(min=floor))
        previous = state
    return before, scales


def _is_dense(start: Tensor, transitions: Tensor, end: Tensor) -> bool:
    """Whether any tag can follow any other at weights so alike that a state which underflows was negligible for good.

    Between two rescalings the largest state falls by less than the range of the weights at each step, and what a state
    is worth to the next step differs by less than that range too.
    """
    range_allowed = 0.8 * -math.log(_tiny(transitions)) / (RESCALE_EVERY + 1)
    return all(bool(scores.amax() - scores.amin() <= range_allowed) for scores in (start, transitions, end))


def _underflows(
    states: Tensor, scales: Tensor, emissions: Tensor, valid: Tensor, first: Tensor, steps: Tensor
) -> Tensor:
    """Mark the sequences [batch] in which a state that some path can reach came too near to zero.

    `emissions` as the states, [2, time, batch, tags]; `first` and `steps` say what is allowed.
    """
    reached = torch.empty_like(states, dtype=torch.bool)
    reached[:, 0] = first.unsqueeze(1)
    reached[:, 1:] = ((states[:, :-1] > 0).to(states) @ steps.to(states).unsqueeze(1)) > 0
    lost = reached & (emissions > -math.inf) & (states * scales < 1e3 * _tiny(states))
    return (lost.any(-1) & valid).any(1).any(0)


def _logarithmic(
    place: Layout, emissions: Tensor, start: Tensor, transitions: Tensor, end: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The same as `_scaled` on logarithms: slower, for any range of scores."""
    states = place.gather_both(emissions)
    into = torch.stack([transitions.t(), transitions]).unsqueeze(1)
    before, scales = torch.empty_like(states), states.new_empty(*states.shape[:3], 1)
    before[:, 0] = torch.stack([start, end]).unsqueeze(1)
    for t in range(len(place.valid)):
        if t:
            before[:, t] = (states[:, t - 1].unsqueeze(-2) + into).logsumexp(-1)
        states[:, t] += before[:, t]
        scales[:, t] = _peak(states[:, t])
        states[:, t] -= scales[:, t]

    forward, backward, valid = states[0], place.reverse(states[1]), place.valid.unsqueeze(-1)
    marginals = (before[0] + backward).softmax(-1).nan_to_num_(0).where(valid, 0)
    pairs = emissions.new_zeros(len(place.lengths), *transitions.shape)
    for t in range(1, len(place.valid)):
        joint = forward[t - 1].unsqueeze(-1) + transitions + backward[t].unsqueeze(-2)
        pairs += joint.flatten(1).softmax(-1).nan_to_num_(0).view_as(pairs) * valid[t].unsqueeze(-1)
    logs = scales[0].where(valid, 0).sum((0, 2))
    return (place.last(forward) + end).logsumexp(-1) + logs, marginals, pairs


def _peak(scores: Tensor) -> Tensor:
    """The largest entry along the last dimension, kept; zero where all are minus infinity."""
    peak = scores.amax(-1, keepdim=True)
    return peak.masked_fill(peak == -math.inf, 0)


def _tiny(values: Tensor) -> float:
    return torch.finfo(values.dtype).tiny
