"""A linear-chain conditional random field as a layer (Lafferty, McCallum, Pereira 2001)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from tenfold.nn.precision import widened
from tenfold.topics.sequence_labeling import chains, viterbi
from tenfold.topics.sequence_labeling.schemes import Constraints


class CRF(nn.Module):
    r"""Scores of tag sequences, given `emissions` [batch, length, tags] and an optional boolean `mask` [batch, length].

    .. math::
        \log p(y \mid e) = s(y) - \log Z, \quad
        s(y) = a_{y_1} + \sum_t e_{t, y_t} + \sum_{t>1} A_{y_{t-1}, y_t} + z_{y_T}

    The mask may have any form: the chain joins over holes, as between the first pieces of words. What lies under it
    is never read. All is worked out in float32 at least, whatever autocast says. `constraints` forbid steps for good,
    in training as in decoding; a gold sequence that takes one has a loss of infinity.
    """

    forbidden_start: Tensor
    forbidden_transitions: Tensor
    forbidden_end: Tensor

    def __init__(self, num_tags: int, constraints: Constraints | None = None) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(num_tags))
        self.transitions = nn.Parameter(torch.zeros(num_tags, num_tags))
        self.end = nn.Parameter(torch.zeros(num_tags))
        for name, allowed in (constraints._asdict() if constraints else {}).items():
            self.register_buffer(f"forbidden_{name}", ~allowed, persistent=False)
        self.constrained = constraints is not None

    def forward(self, emissions: Tensor, tags: Tensor, mask: Tensor | None = None) -> Tensor:
        r"""Negative log-likelihood :math:`\log Z - s(y)` of `tags` [batch, length], one a sequence: [batch].

        Tags that are masked may be anything. An empty sequence costs nothing.
        """
        with torch.autocast(emissions.device.type, enabled=False):
            emissions, mask = _prepare(emissions, mask)
            return ChainSum.apply(emissions, mask, tags, *self.scores(emissions.dtype))

    def log_partition(self, emissions: Tensor, mask: Tensor | None = None) -> Tensor:
        r""":math:`\log Z` [batch]."""
        with torch.autocast(emissions.device.type, enabled=False):
            emissions, mask = _prepare(emissions, mask)
            return ChainSum.apply(emissions, mask, None, *self.scores(emissions.dtype))

    @torch.no_grad()
    def marginals(self, emissions: Tensor, mask: Tensor | None = None) -> Tensor:
        """:math:`p(y_t = k)` [batch, length, tags], zero where masked; carries no gradient."""
        return self._expectations(*_prepare(emissions, mask))[1]

    @torch.no_grad()
    def entropy(self, emissions: Tensor, mask: Tensor | None = None) -> Tensor:
        r"""Entropy over tag sequences in nats [batch], :math:`\log Z - \mathrm{E}[s(y)]`; carries no gradient."""
        emissions, mask = _prepare(emissions, mask)
        log_partition, marginals, pairs, ends = self._expectations(emissions, mask)
        start, transitions, end = (scores.nan_to_num(neginf=0) for scores in self.scores(emissions.dtype))
        at_start, at_end = marginals.flatten(0, 1)[ends]
        emitted = (marginals * emissions.where(marginals > 0, 0)).sum((1, 2))
        return log_partition - emitted - (pairs * transitions).sum((1, 2)) - at_start @ start - at_end @ end

    @torch.no_grad()
    def decode(self, emissions: Tensor, mask: Tensor | None = None) -> Tensor:
        """The most probable tags [batch, length] by Viterbi; -1 where masked."""
        emissions, mask = _prepare(emissions, mask)
        return viterbi.best_path(emissions, mask, *self.scores(emissions.dtype))[0]

    @torch.no_grad()
    def n_best(self, emissions: Tensor, n: int, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The `n` most probable sequences [batch, n, length] and their log-probabilities [batch, n], best first."""
        emissions, mask = _prepare(emissions, mask)
        paths, scores = viterbi.n_best_paths(emissions, n, mask, *self.scores(emissions.dtype))
        log_partition = self.log_partition(emissions, mask).unsqueeze(1)
        return paths, torch.where(scores.isinf(), scores, scores - log_partition)

    def scores(self, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Start [tags], transitions [from, to] and end [tags], minus infinity where forbidden."""
        start, transitions, end = (scores.to(dtype) for scores in (self.start, self.transitions, self.end))
        if not self.constrained:
            return start, transitions, end
        none = float("-inf")
        return (
            start.masked_fill(self.forbidden_start, none),
            transitions.masked_fill(self.forbidden_transitions, none),
            end.masked_fill(self.forbidden_end, none),
        )

    def _expectations(self, emissions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        with torch.autocast(emissions.device.type, enabled=False):
            return _chain_sum(emissions, mask, None, *self.scores(emissions.dtype), False)


class ChainSum(torch.autograd.Function):
    r""":math:`\log Z`, or :math:`\log Z - s(y)` where tags are given; its gradient is what was counted on the way.

    :math:`\partial \log Z / \partial e_{t,k} = p(y_t = k)` and
    :math:`\partial \log Z / \partial A_{ij} = \sum_t p(y_{t-1} = i, y_t = j)`; the path's own counts are taken off.
    """

    @staticmethod
    def forward(
        ctx: Any,
        emissions: Tensor,
        mask: Tensor,
        tags: Tensor | None,
        start: Tensor,
        transitions: Tensor,
        end: Tensor,
    ) -> Tensor:
        """`emissions` [batch, length, tags], `tags` [batch, length]; gives [batch]."""
        chain = emissions, mask, tags, start, transitions, end
        total, *counts = _operator(_chain_sum, _chain_sum_operator)(*chain, True)
        ctx.save_for_backward(*counts, *chain)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        """The counts, weighted by the gradient [batch] that comes in."""
        at_tags, at_steps, ends, *chain = ctx.saved_tensors
        emissions = at_tags * weight.view(-1, 1, 1)
        start, end = emissions.flatten(0, 1)[ends].sum(1)
        transitions = _operator(_weighted_steps, _weighted_steps_operator)(weight, at_steps, *chain)
        return emissions, None, None, start, transitions, end


def _chain_sum(
    emissions: Tensor,
    mask: Tensor,
    tags: Tensor | None,
    start: Tensor,
    transitions: Tensor,
    end: Tensor,
    summed: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Log-partition, marginals and expected transitions, less score and counts of `tags` if given.

    Transitions are those of each sequence, or `summed`. At last the places [2, batch] where sequences start and end in
    the flattened batch; of empty ones, a masked one.
    """
    symbols = torch.arange(mask.numel(), device=mask.device).view_as(mask)  # each position emits scores of its own
    return chains.expectations(
        symbols, mask, tags, chains.Scores(emissions.flatten(0, 1), start, transitions, end), summed
    )


def _weighted_steps(
    weight: Tensor,
    summed: Tensor,
    emissions: Tensor,
    mask: Tensor,
    tags: Tensor | None,
    start: Tensor,
    transitions: Tensor,
    end: Tensor,
) -> Tensor:
    """What `_chain_sum` counts of the transitions, each sequence weighted by `weight` [batch].

    Nearly always all weigh alike, and the sum is known; else all is run again.
    """
    if bool((weight == weight[:1]).all()):
        return weight[:1].sum() * summed
    return torch.tensordot(weight, _chain_sum(emissions, mask, tags, start, transitions, end, False)[2], 1)


# For a compiler each is one operator, so that it does not unroll the loop over time.
_chain_sum_operator = torch.library.custom_op("tenfold::crf_chain_sum", _chain_sum, mutates_args=())
_weighted_steps_operator = torch.library.custom_op("tenfold::crf_weighted_steps", _weighted_steps, mutates_args=())


@_chain_sum_operator.register_fake
def _(
    emissions: Tensor,
    mask: Tensor,
    tags: Tensor | None,
    start: Tensor,
    transitions: Tensor,
    end: Tensor,
    summed: bool,
) -> tuple[Tensor, ...]:
    batch = emissions.shape[0]
    pairs = torch.empty_like(transitions) if summed else emissions.new_empty(batch, *transitions.shape)
    ends = emissions.new_empty(2, batch, dtype=torch.long)
    return emissions.new_empty(batch), torch.empty_like(emissions), pairs, ends


@_weighted_steps_operator.register_fake
def _(weight: Tensor, summed: Tensor, *chain: Tensor | None) -> Tensor:
    return torch.empty_like(summed)


def _operator(function: Callable[..., Any], operator: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself is called sooner."""
    return operator if torch.compiler.is_compiling() else function


def _prepare(emissions: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Emissions in float32 at least, and a mask in any case."""
    if mask is None:
        mask = torch.ones(emissions.shape[:2], dtype=torch.bool, device=emissions.device)
    return widened(emissions).contiguous(), mask.bool()
