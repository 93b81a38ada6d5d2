"""Muon: momentum whose update is made orthogonal, for matrices and convolution kernels; AdamW for the rest."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.adamw import adamw


class Muon(Optimizer):
    r"""For a weight :math:`W` with gradient :math:`G`, taken as a matrix `[out, in · height · width]`:

    .. math::
        M &\leftarrow \mu M + (1 - \mu) G \\
        U &= \text{NewtonSchulz}(\mu M + (1 - \mu) G) \approx U_G V_G^\top \\
        W &\leftarrow (1 - \eta \lambda) W - 0.2 \, \eta \sqrt{\max(\text{out}, \text{in})} \; U

    The factor gives the update the root mean square of an AdamW update, so that one learning rate serves both
    (arXiv:2502.16982). Parameters with fewer than two dimensions, and every group with `adamw=True` (embeddings, the
    last layer), take an AdamW step with `betas` and `eps`. Matrices of one shape are orthogonalised in one batch, in
    bfloat16 on a GPU and float32 on a CPU. `torch.optim.Muon` takes two-dimensional parameters only, one at a time.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 2e-3,
        weight_decay: float = 0.01,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        adamw: bool = False,
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, defaults | {"betas": betas, "eps": eps, "adamw": adamw})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            self._adamw_step(group, [p for p in params if group["adamw"] or p.ndim < 2])
            self._muon_step(group, [p for p in params if not group["adamw"] and p.ndim >= 2])
        return loss

    def _muon_step(self, group: dict[str, Any], params: list[Tensor]) -> None:
        by_shape: dict[Any, list[Tensor]] = defaultdict(list)
        for p in params:
            by_shape[len(p), p.numel(), p.device, p.dtype].append(p)
        for (rows, size, *_), same in by_shape.items():
            updates = orthogonalise(torch.stack([self._nesterov(p, group["momentum"]).flatten(1) for p in same]))
            step_size = 0.2 * group["lr"] * max(rows, size // rows) ** 0.5
            for p, update in zip(same, updates, strict=True):
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update.view(p.shape).to(p.dtype), alpha=-step_size)

    def _nesterov(self, p: Tensor, momentum: float) -> Tensor:
        assert p.grad is not None
        state = self.state[p]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(p)
        return p.grad.lerp(state["momentum_buffer"].lerp_(p.grad, 1 - momentum), momentum)

    def _adamw_step(self, group: dict[str, Any], params: list[Tensor]) -> None:
        for p in params:
            if not self.state[p]:
                zeros = {"exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
                self.state[p] = {"step": torch.tensor(0.0), **zeros}
        states = [self.state[p] for p in params]
        adamw(
            params,
            [p.grad for p in params if p.grad is not None],
            exp_avgs=[state["exp_avg"] for state in states],
            exp_avg_sqs=[state["exp_avg_sq"] for state in states],
            max_exp_avg_sqs=[],
            state_steps=[state["step"] for state in states],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    r"""Moves the singular values of `[..., rows, columns]` to about 1 (0.7 to 1.2) and keeps the singular vectors.

    Newton–Schulz, :math:`X \leftarrow a X + (b A + c A^2) X` with :math:`A = X X^\top`, and coefficients that are
    steep at zero (Jordan 2024, kellerjordan.github.io/posts/muon).
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.to(torch.bfloat16 if matrices.is_cuda else torch.float32)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
