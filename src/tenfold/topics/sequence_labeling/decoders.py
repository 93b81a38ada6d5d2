"""From emissions to tags: a chain or each tag on its own, behind one interface.

A decoder has `forward(emissions, tags, mask)`, the negative log-likelihood of each sequence `[batch]`, and
`decode(emissions, mask)`, the best tags `[batch, time]` with -1 where masked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from tenfold.errors import UserError, nearest
from tenfold.nn.precision import widened
from tenfold.topics.sequence_labeling import viterbi
from tenfold.topics.sequence_labeling.crf import CRF
from tenfold.topics.sequence_labeling.schemes import constraints

DecoderName = Literal["crf", "softmax"]


class Softmax(nn.Module):
    r"""Tags that do not know of each other, :math:`\log p(y \mid e) = \sum_t \log \mathrm{softmax}(e_t)_{y_t}`.

    Decoding still obeys the scheme: it finds the best legal sequence.
    """

    def __init__(self, tags: Sequence[str], scheme: str | None) -> None:
        super().__init__()
        self.free = scheme is None
        for name, allowed in constraints(tags, scheme or "iob2")._asdict().items():
            scores = torch.zeros(allowed.shape)
            self.register_buffer(
                name, scores if self.free else scores.masked_fill(~allowed, -torch.inf), persistent=False
            )

    start: Tensor
    transitions: Tensor
    end: Tensor

    def forward(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        own = nn.functional.cross_entropy(widened(emissions).transpose(1, 2), tags.where(mask, 0), reduction="none")
        return own.where(mask, 0).sum(1)

    @torch.no_grad()
    def decode(self, emissions: Tensor, mask: Tensor) -> Tensor:
        if self.free:
            return emissions.argmax(2).where(mask, viterbi.NO_TAG)
        scores = widened(emissions).log_softmax(2)
        return viterbi.best_path(scores, mask, self.start, self.transitions, self.end)[0]


def build_decoder(name: DecoderName, tags: Sequence[str], scheme: str | None) -> nn.Module:
    """A CRF, or a softmax."""
    if name == "softmax":
        return Softmax(tags, scheme)
    if name != "crf":
        raise UserError(
            f"model.network.decoder: found {name!r}, expected crf or softmax{nearest(name, ['crf', 'softmax'])}"
        )
    return CRF(len(tags), constraints(tags, scheme) if scheme else None)
