r"""Chains one after the other, compiled for processors; `batched` and `viterbi` hold the same in torch's operations.

The sums run forwards and backwards on scaled probabilities, :math:`x_t = f_t \odot u_t / c_t` with
:math:`u_t = x_{t-1} M`; backwards with :math:`M^T`. A sequence in which a possible path comes too near to zero for the
type is marked as lost, for logarithms to do again.

Arrays, all contiguous: `scores` are emissions [symbols, tags], start and end [2, tags], transitions and their transpose
[2, tags, tags]; `weights` the exponentials `f`, `u_1` and `M` of the same, each less its peak, that of each symbol's
emissions [symbols] in second place, and the sums of the other peaks for the ends and for a step. `found` are
log-partitions [batch], marginals [batch, width, tags], transitions [batch or 1, from, to], where sequences start and
end [2, batch], and which are lost [batch].
"""

import math
from typing import Any

import numba
import numpy as np

# Sums may be taken in any order; infinities and what is not a number stay what they are.
_jit = numba.njit(nogil=True, fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy", cache=True)


@_jit
def _valid(valid: Any, places: Any) -> int:
    """Note the places of a sequence that are not masked; how many."""
    count = 0
    for place in range(len(valid)):
        if valid[place]:
            places[count] = place
            count += 1
    return count


@_jit
def _add_product(row: Any, matrix: Any, out: Any) -> None:
    """Add `row` @ `matrix` to `out`, four rows of the matrix at a time: reads and writes `out` less often."""
    fours = len(row) // 4 * 4
    for i in range(0, fours, 4):
        a, b, c, d = row[i], row[i + 1], row[i + 2], row[i + 3]
        for j in range(len(out)):
            out[j] += a * matrix[i, j] + b * matrix[i + 1, j] + c * matrix[i + 2, j] + d * matrix[i + 3, j]
    for i in range(fours, len(row)):
        for j in range(len(out)):
            out[j] += row[i] * matrix[i, j]


@_jit
def expect(symbols: Any, mask: Any, scores: Any, weights: Any, floor: float, least: float, found: Any) -> bool:
    """Fill in what is `found`; whether all symbols [batch, width] are known.

    Lost is what comes below `least`, or below `floor` in a state that some path can come to.
    """
    factors, peaks, first, steps, at_ends, at_steps = weights
    log_partition, marginals, pairs, ends, lost = found
    (batch, width), num_tags = mask.shape, marginals.shape[2]
    places, observed = np.empty(width, np.int64), np.empty(width, np.int64)
    entered, states = np.empty((2, width, num_tags), factors.dtype), np.empty((2, width, num_tags), factors.dtype)
    column, row = np.empty(width, factors.dtype), np.empty(num_tags, factors.dtype)
    for b in range(batch):
        count = _valid(mask[b], places)
        ends[0, b] = ends[1, b] = b * width  # of an empty sequence, a masked place
        if count == 0:
            continue
        ends[0, b] += places[0]
        ends[1, b] += places[count - 1]
        for t in range(count):
            observed[t] = symbols[b, places[t]]
            if not 0 <= observed[t] < len(factors):
                return False
        total = at_ends + (count - 1) * at_steps
        for way in range(2):
            logs = _scan(way, observed[:count], scores, weights, entered[way], states[way], floor, least)
            lost[b] |= logs == -math.inf
            total += logs if way == 0 else 0.0
        if lost[b]:
            continue
        for t in range(count):
            total += peaks[observed[t]]
            overlap = _share(entered[0, t], states[1, t], marginals[b, places[t]])
            lost[b] |= overlap <= least
        last = first[1, 0] * states[0, count - 1, 0]
        for k in range(1, num_tags):
            last += first[1, k] * states[0, count - 1, k]
        lost[b] |= last <= least
        if lost[b]:
            continue
        log_partition[b] = total + math.log(last)
        which = b if len(pairs) > 1 else 0
        for i in range(num_tags):
            for t in range(count - 1):
                column[t] = states[0, t, i]
            for k in range(num_tags):
                row[k] = 0
            _add_product(column[: count - 1], states[1, 1:count], row)
            for k in range(num_tags):
                pairs[which, i, k] += row[k] * steps[0, i, k]
    return True


@_jit
def _scan(
    way: int, observed: Any, scores: Any, weights: Any, entered: Any, states: Any, floor: float, least: float
) -> float:
    """Run one way over a sequence; the sum of the logarithms of the scales, minus infinity where it is lost."""
    emissions, ends, moves = scores
    factors, _, first, steps, _, _ = weights
    logs, previous = 0.0, first[way]
    for number in range(len(observed)):
        t = number if way == 0 else len(observed) - 1 - number
        entering, state, factor = entered[t], states[t], factors[observed[t]]
        for k in range(len(state)):
            entering[k] = 0 if number else previous[k]
        if number:
            _add_product(previous, steps[way], entering)
        scale = factor[0] * entering[0]
        state[0] = scale
        for k in range(1, len(state)):
            state[k] = factor[k] * entering[k]
            scale += state[k]
        if scale < least:
            return -math.inf
        if floor > 0 and _fades(way, number, state, previous, emissions[observed[t]], ends, moves, floor):
            return -math.inf
        inverse = state.dtype.type(1) / scale
        for k in range(len(state)):
            state[k] *= inverse
        logs += math.log(scale)
        previous = state
    return logs


@_jit
def _fades(
    way: int, number: int, state: Any, previous: Any, emissions: Any, ends: Any, moves: Any, floor: float
) -> bool:
    """Whether a state that some path can come to is below `floor`."""
    for k in range(len(state)):
        if state[k] < floor and emissions[k] > -math.inf:
            reached = number == 0 and ends[way, k] > -math.inf
            for i in range(len(state) if number else 0):  # the other way's moves lie in the order that is wanted
                reached |= previous[i] > 0 and moves[1 - way, k, i] > -math.inf
            if reached:
                return True
    return False


@_jit
def _share(entering: Any, backward: Any, marginals: Any) -> Any:
    """Marginals of a place; `backward` becomes what a step into it is worth. Gives what they were divided by."""
    overlap = entering[0] * backward[0]
    for k in range(1, len(entering)):
        overlap += entering[k] * backward[k]
    inverse = backward.dtype.type(1) / overlap
    for k in range(len(entering)):
        backward[k] *= inverse
        marginals[k] = entering[k] * backward[k]
    return overlap


@_jit
def subtract_path(symbols: Any, mask: Any, tags: Any, scores: Any, found: Any) -> bool:
    """Take the scores and counts of `tags` off what was found; whether all tags are known."""
    emissions, ends, moves = scores
    log_partition, marginals, pairs, _, lost = found
    for b in range(len(mask)):
        if lost[b]:
            continue
        score, which, previous = 0.0, b if len(pairs) > 1 else 0, -1
        for place in range(mask.shape[1]):
            if mask[b, place]:
                tag = tags[b, place]
                if not 0 <= tag < emissions.shape[1]:
                    return False
                score += emissions[symbols[b, place], tag]
                marginals[b, place, tag] -= 1
                if previous < 0:
                    score += ends[0, tag]
                else:
                    score += moves[0, previous, tag]
                    pairs[which, previous, tag] -= 1
                previous = tag
        if previous >= 0:
            log_partition[b] -= score + ends[1, previous]
    return True


@_jit
def best_path(
    mask: Any, emissions: Any, start: Any, transitions: Any, backwards: Any, end: Any, paths: Any, best: Any
) -> None:
    """Fill in `paths` [batch, width] where `mask` is true, and `best` [batch]; `backwards`: transitions [to, from]."""
    width, num_tags = mask.shape[1], len(start)
    places, scores = np.empty(width, np.int64), np.empty((width, num_tags), emissions.dtype)
    for b in range(len(mask)):
        count = _valid(mask[b], places)
        for t in range(count):
            score, emission = scores[t], emissions[b, places[t]]
            for k in range(num_tags):
                score[k] = -math.inf if t else start[k]
            if t:
                _maxima(scores[t - 1], transitions, score)
            for k in range(num_tags):
                score[k] += emission[k]
        following = end
        for t in range(count - 1, -1, -1):
            tag, top = 0, scores[t, 0] + following[0]
            for k in range(1, num_tags):
                value = scores[t, k] + following[k]
                if value > top:
                    tag, top = k, value
            paths[b, places[t]] = tag
            if t == count - 1:
                best[b] = top
            following = backwards[tag]


@_jit
def _maxima(previous: Any, transitions: Any, out: Any) -> None:
    """Raise `out` to the best scores to come to each tag with, four tags to come from at a time."""
    fours = len(previous) // 4 * 4
    for i in range(0, fours, 4):
        a, b, c, d = previous[i], previous[i + 1], previous[i + 2], previous[i + 3]
        for j in range(len(out)):
            left = max(a + transitions[i, j], b + transitions[i + 1, j])
            right = max(c + transitions[i + 2, j], d + transitions[i + 3, j])
            out[j] = max(out[j], max(left, right))
    for i in range(fours, len(previous)):
        for j in range(len(out)):
            out[j] = max(out[j], previous[i] + transitions[i, j])
