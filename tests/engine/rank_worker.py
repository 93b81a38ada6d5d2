"""All cases of two ranks; as a program, one of two gloo ranks that run them all."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import engine.sharded_cases  # noqa: F401 (which adds its cases)
from engine.rank_cases import CASES


def main(folder: Path, rank: int) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    for name, run in CASES.items():
        torch.save(run(2), folder / f"{name}-{rank}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
