r"""Sum–product over linear chains: log-partition, marginals and expected transitions, for the CRF and the HMM.

A chain over valid positions :math:`t = 1..T` with tags :math:`y_t` out of `K` has the score

.. math:: s(y) = a_{y_1} + \sum_t e_{t, y_t} + \sum_{t>1} A_{y_{t-1}, y_t} + z_{y_T}

On a CPU with numba it is `compiled`, sequence after sequence; else `batched`, in torch's operations.
"""

import functools
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from tenfold.topics.sequence_labeling import batched
from tenfold.topics.sequence_labeling.batched import Expectations, Scores, peak


def expectations(symbols: Tensor, mask: Tensor, tags: Tensor | None, scores: Scores, summed: bool) -> Expectations:
    """What the chains expect, less the score and the counts of `tags` [batch, length] if given.

    `symbols` [batch, length] names the emissions at each place; for a CRF each place is a symbol of its own. `mask`
    [batch, length] may have any form.
    """
    kernels = compiled_for(scores.emissions)
    if kernels is None:
        return batched.expectations(symbols, mask, tags, scores, summed)
    found, lost = _sequential(kernels, symbols, mask, tags, scores, summed)
    if bool(lost.any()):
        again = batched.expectations(symbols[lost], mask[lost], None if tags is None else tags[lost], scores, summed)
        found.log_partition[lost], found.marginals[lost] = again.log_partition, again.marginals
        if summed:
            found.pairs.add_(again.pairs)
        else:
            found.pairs[lost] = again.pairs
    return found


def _sequential(
    kernels: ModuleType, symbols: Tensor, mask: Tensor, tags: Tensor | None, scores: Scores, summed: bool
) -> tuple[Expectations, Tensor]:
    """By the kernels; and which sequences [batch] are lost, of which there are no counts."""
    emissions, start, transitions, end = scores
    (batch, width), num_tags, tiny = mask.shape, len(start), torch.finfo(emissions.dtype).tiny
    ends, moves = torch.stack([start, end]), torch.stack([transitions, transitions.t()])
    peaks, at_ends, at_steps = peak(emissions), peak(ends), peak(transitions.flatten())
    factors, first, steps = (emissions - peaks).exp_(), (ends - at_ends).exp_(), (moves - at_steps).exp_()
    # Where any tag can follow any other at weights so alike, a state that underflows was negligible for good.
    dense = bool(torch.minimum(first.amin(), steps.amin()) >= tiny**0.4)

    zeros = emissions.new_zeros
    found = Expectations(
        zeros(batch),
        zeros(batch, width, num_tags),
        zeros(1 if summed else batch, num_tags, num_tags),
        torch.zeros(2, batch, dtype=torch.long),
    )
    lost = torch.zeros(batch, dtype=torch.bool)
    known, valid, *logs = arrays(symbols, mask, emissions, ends, moves)
    weights = *arrays(factors, peaks.squeeze(1), first, steps), float(at_ends.sum()), float(at_steps)
    results = arrays(*found, lost)
    if not kernels.expect(known, valid, tuple(logs), weights, 0.0 if dense else 1e3 * tiny, 1e9 * tiny, results):
        raise IndexError(f"a symbol is not one of {len(emissions)}")
    if tags is not None and not kernels.subtract_path(known, valid, *arrays(tags), tuple(logs), results):
        raise IndexError(f"a tag is not one of {num_tags}")
    return found._replace(pairs=found.pairs[0]) if summed else found, lost


def arrays(*tensors: Tensor) -> tuple[Any, ...]:
    """As the kernels take them; contiguous ones share their memory."""
    return tuple(tensor.detach().contiguous().numpy() for tensor in tensors)


def compiled_for(scores: Tensor) -> ModuleType | None:
    """The compiled kernels, where numba is installed and they take this device and type."""
    if scores.device.type != "cpu" or scores.dtype not in (torch.float32, torch.float64):
        return None
    return None if torch.compiler.is_compiling() else _compiled()


@functools.cache
def _compiled() -> ModuleType | None:
    try:
        from tenfold.topics.sequence_labeling import compiled
    except (ImportError, RuntimeError):  # no numba, or no folder where it may keep what it compiles
        return None
    return compiled
