"""Which precision a computation keeps under mixed precision."""

import torch
from torch import Tensor


def widened(x: Tensor) -> Tensor:
    """`x` in float32 at least: what is summed over many terms, or exponentials of it, keeps its digits."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
