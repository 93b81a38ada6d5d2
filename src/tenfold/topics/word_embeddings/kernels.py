"""Whether the compiled kernel can be had."""

import importlib.util
from collections.abc import Mapping
from typing import Any

import torch

from tenfold.errors import UserError

HALF = {"bf16-true": torch.bfloat16, "16-true": torch.float16}  # precisions under which the tables are not float32


def hindrance(objective: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> str:
    """What the compiled kernel would need; empty where it has all."""
    if objective != "negative":
        return "objective=negative"
    if device != "cpu" or dtype not in (torch.float32, torch.float64):
        return f"float32 or float64 on the CPU, not {dtype} on {device}"
    if importlib.util.find_spec("numba") is None:
        return "the package 'numba'; pip install 'tenfold[word_embeddings]'"
    return ""


def require_compiled(objective: str, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
    if lacking := hindrance(objective, device, dtype):
        raise UserError(f"model.kernel: found 'compiled', which needs {lacking}; expected auto or blocks")


def place_of(trainer: Mapping[str, Any]) -> tuple[str, torch.dtype]:
    """The device and the type that the trainer's config gives the tables."""
    accelerator = str(trainer.get("accelerator", "auto"))
    found = next((name for name in ("cuda", "mps") if getattr(torch, name).is_available()), "cpu")
    return "cpu" if accelerator == "cpu" else found, HALF.get(str(trainer.get("precision")), torch.float32)
