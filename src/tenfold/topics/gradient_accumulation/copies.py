"""The ways in which the study cuts a batch, and the wrong one among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from tenfold.engine.accumulation import Accumulation, Sums, Weights
from tenfold.engine.batch import num_samples
from tenfold.errors import UserError, nearest

if TYPE_CHECKING:
    from tenfold.engine.module import TenfoldModule

Variant = Literal["micro", "mean_of_means", "whole_statistics", "whole_gradient"]
VARIANTS: dict[str, str] = {
    "micro": "as the engine accumulates",
    "mean_of_means": "each micro-batch's own mean, averaged",
    "whole_statistics": "as micro, with BatchNorm's statistics of the whole batch",
    "whole_gradient": "as whole_statistics, and the gradient through them is the whole batch's",
}
_BATCH_NORM: dict[str, Literal["whole", "exact"]] = {"whole_statistics": "whole", "whole_gradient": "exact"}


@dataclass(frozen=True)
class Copy:
    """A copy of the network that is trained with batches cut in one way."""

    variant: Variant
    micro_batch_size: int

    @property
    def name(self) -> str:
        return f"{self.variant}_{self.micro_batch_size}"

    def accumulation(self, module: TenfoldModule) -> Accumulation:
        stepping = replace(
            module.stepping,
            micro_batch_size=self.micro_batch_size,
            accumulate_grad_batches=None,
            memory_budget=None,
            batch_norm=_BATCH_NORM.get(self.variant, "micro"),
        )
        return (MeanOfMeans if self.variant == "mean_of_means" else Accumulation)(module, stepping)


def plan(variants: Sequence[str], micro_batch_sizes: Sequence[int]) -> list[Copy]:
    """Every variant with every size. Raises `UserError` where there is nothing to compare, or not in these ways."""
    for variant in variants:
        if variant not in VARIANTS:
            raise UserError(
                f"model.variants: found {variant!r}, expected some of {', '.join(VARIANTS)}{nearest(variant, VARIANTS)}"
            )
    for size in micro_batch_sizes:
        if size < 1:
            raise UserError(f"model.micro_batch_sizes: found {size}, expected at least 1")
    copies = [Copy(variant, size) for variant in variants for size in micro_batch_sizes]  # type: ignore[arg-type]
    if not copies or len(set(copies)) < len(copies):
        raise UserError(
            f"model: variants {list(variants)} and micro_batch_sizes {list(micro_batch_sizes)} give "
            f"{len(copies)} copies, {len(set(copies))} of them different; expected one or more, each once"
        )
    return copies


class MeanOfMeans(Accumulation):
    r"""The gradient of :math:`\frac{1}{n} \sum_{i \le n} S_i / W_i` over n micro-batches: not that of the batch, which
    is that of :math:`\sum_i S_i / \sum_i W_i`.

    Here to be looked at. It is what comes of taking the mean of each micro-batch and dividing by their number, as plain
    accumulation does: a token in a short micro-batch counts for more than one in a long one.
    """

    def backward(
        self,
        batch: Any,
        losses: Callable[[Any], Sums],
        weights: Callable[[Any], Weights],
        zero_grad: Callable[[], None],
    ) -> Sums:
        size = num_samples(batch)
        parts = -(-size // max(1, self.micro_batch_size(size)))

        def shares(micro: Any) -> Sums:
            weight = weights(micro)
            return {name: total / (max(float(weight[name]), 1e-9) * parts) for name, total in losses(micro).items()}

        def ones(batch: Any) -> Weights:
            return dict.fromkeys(weights(batch), 1.0)

        return super().backward(batch, shares, ones, zero_grad)
