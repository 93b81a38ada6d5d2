"""The losses of distillation, as sums over samples."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def soft_targets(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    r"""Hinton et al. (2015, arXiv 1503.02531), for logits `[batch, classes]` of both:

    .. math:: T^2 \sum_i \mathrm{KL}\big( \mathrm{softmax}(t_i / T) \,\|\, \mathrm{softmax}(s_i / T) \big).

    Gradients through :math:`s / T` shrink with :math:`1 / T^2`; the factor keeps them at one size for every T. Divided
    by the number of samples (and not of samples times classes) this is the divergence's mean, "batchmean".
    """
    log_student, log_teacher = F.log_softmax(student / temperature, 1), F.log_softmax(teacher / temperature, 1)
    return temperature**2 * F.kl_div(log_student, log_teacher, reduction="sum", log_target=True)


def hints(regressed: Tensor, guide: Tensor) -> Tensor:
    r"""FitNets (Romero et al., 2015, arXiv 1412.6550): :math:`\frac{1}{2} \sum_i \frac{1}{d} \| r_i - g_i \|^2` between
    the student's regressed features r and the teacher's g, `[batch, channels, ...]`, of d numbers a sample.

    The mean over d, where the paper has a sum, lets one weight serve layers of every size.
    """
    return 0.5 * (regressed - guide).square().flatten(1).mean(1).sum()
