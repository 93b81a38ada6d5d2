"""What the two players minimise, as sums over samples; nothing here looks across samples.

`real` and `fake` are the discriminator's outputs `[n]`. A penalty is taken of each sample's own input gradient, so that
it too adds up over micro-batches. It needs a graph of the gradient: keep it out of autocast.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

#: The game that the two play.
Game = Literal["non_saturating", "relativistic", "wasserstein"]


def discriminator_loss(game: Game, real: Tensor, fake: Tensor) -> Tensor:
    r"""The discriminator's loss, summed.

    non_saturating: :math:`\log(1 + e^{-D(x)}) + \log(1 + e^{D(\hat x)})` (Goodfellow et al., 2014, arXiv 1406.2661)
    relativistic: :math:`\log(1 + e^{-(D(x) - D(\hat x))})`, each fake against a real sample (1807.00734, 2501.05441)
    wasserstein: :math:`D(\hat x) - D(x)` (Arjovsky et al., 2017, arXiv 1701.07875)
    """
    if game == "relativistic":
        return softplus(fake - real).sum()
    if game == "wasserstein":
        return (fake - real).sum()
    return (softplus(-real) + softplus(fake)).sum()


def generator_loss(game: Game, real: Tensor | None, fake: Tensor) -> Tensor:
    r"""The generator's loss, summed; it needs `real` in the relativistic game only.

    non_saturating: :math:`\log(1 + e^{-D(\hat x)})`, relativistic: :math:`\log(1 + e^{-(D(\hat x) - D(x))})`,
    wasserstein: :math:`-D(\hat x)`.
    """
    if game == "relativistic":
        assert real is not None
        return softplus(real - fake).sum()
    return -fake.sum() if game == "wasserstein" else softplus(-fake).sum()


def zero_centred_penalty(discriminator: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    r""":math:`\frac{1}{2} \sum_i |\nabla D(x_i)|^2`: R1 on real samples, R2 on generated ones (Mescheder et al., 2018,
    arXiv 1801.04406). It pulls the discriminator flat where the data are, and lets the game come to rest there."""
    return _squared_gradients(discriminator, inputs).sum() / 2


def one_centred_penalty(discriminator: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    r""":math:`\sum_i (|\nabla D(x_i)| - 1)^2` of points between real and generated samples: WGAN-GP's (Gulrajani et
    al., 2017, arXiv 1704.00028)."""
    squared = _squared_gradients(discriminator, inputs)
    norm = (squared + 1e-12).sqrt()  # a root has no gradient at zero
    return (norm - 1).square().sum()


def _squared_gradients(discriminator: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """Squared norm of the output's gradient at each input, `[n]`, itself differentiable."""
    inputs = inputs.detach().requires_grad_(True)
    with torch.enable_grad():  # where only the value is wanted, there is a gradient inside it all the same
        (gradient,) = torch.autograd.grad(discriminator(inputs).sum(), inputs, create_graph=True)
    return gradient.flatten(1).square().sum(1)


def between(real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """On the line from each real sample to a fake one, at `mix` `[n]` of the way."""
    share = mix.view(-1, *[1] * (real.ndim - 1))
    return real + share * (fake - real)


def translated(images: Tensor, shift: Tensor, reach: int) -> Tensor:
    """Images `[n, channels, height, width]` moved by `shift` `[n, 2]` − `reach` pixels down and right, black behind.

    Differentiable augmentation (Zhao et al., 2020, arXiv 2006.10738): the discriminator sees real and generated images
    so, and the generator's gradient passes through. Products with shifted identities, which are cheap both ways.
    """
    rows = _shifted_identity(images.shape[2], shift[:, 0] - reach, images)
    columns = _shifted_identity(images.shape[3], shift[:, 1] - reach, images)
    return rows.unsqueeze(1) @ images @ columns.mT.unsqueeze(1)


def _shifted_identity(size: int, shift: Tensor, like: Tensor) -> Tensor:
    """`[n, size, size]` that puts row i at row i + shift."""
    places = torch.arange(size, device=like.device)
    return (places.view(1, -1, 1) == places.view(1, 1, -1) + shift.view(-1, 1, 1)).to(like.dtype)
