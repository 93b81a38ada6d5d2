"""Random numbers by place: the same wherever and in whatever order they are drawn."""

import torch
from torch import Tensor

_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _signed(value: int) -> int:
    """The 64 low bits as torch's int64 has them."""
    return (value + 2**63) % 2**64 - 2**63


def _mix_(state: Tensor) -> Tensor:
    """splitmix64's finaliser (Steele et al. 2014), in place. `>>` copies the sign into the bits that the masks
    clear."""
    state.bitwise_xor_((state >> 30) & (2**34 - 1)).mul_(_signed(_FIRST))
    state.bitwise_xor_((state >> 27) & (2**37 - 1)).mul_(_signed(_SECOND))
    return state.bitwise_xor_((state >> 31) & (2**33 - 1))


def uniform(place: Tensor, seed: int, epoch: int, purpose: int) -> Tensor:
    """Numbers in [0, 1), float64, one for each of `place` (any shape, int64); others for another seed, epoch or
    purpose."""
    start = torch.tensor(_signed((seed * 1_000_003 + epoch) * 8 + purpose + 1))
    salt = int(_mix_(start.mul_(_signed(_GOLDEN))))
    state = _mix_(_mix_(place + salt))
    return ((state >> 11) & (2**53 - 1)).double().mul_(2.0**-53)
