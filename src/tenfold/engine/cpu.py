"""Making the CPU fast: threads, and an allocator that keeps what it has."""

from __future__ import annotations

import ctypes
import os
import sys

import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def set_up(threads: int | None) -> None:
    """Prepare this process for training on the CPU.

    threads: of torch's operations; None: this process's share of the cores that it may use.
    """
    torch.set_num_threads(threads or _share_of_cores())
    _keep_memory()


def _share_of_cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def _keep_memory() -> None:
    """Let malloc reuse large blocks instead of giving them back to the system after every operation.

    By default glibc maps each activation above 128 KiB (to 32 MiB, as it adapts) anew; the page faults take up to a
    fifth of a training step. Elsewhere than on glibc, nothing is changed.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
