"""What the benchmark scripts share: real runs through the command line, interleaved timing, Markdown tables."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from scipy.stats import t


def train(*overrides: str) -> dict[str, Any]:
    """Train through `tenfold train` in a process and a folder of its own; the contents of its metrics.json."""
    with tempfile.TemporaryDirectory() as outputs:
        folder = Path(outputs) / "run"
        command = [sys.executable, "-m", "tenfold", "train", f"folder={folder}", "callbacks.progress=null", *overrides]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
        return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def interleaved(contestants: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each contestant, called in turn `rounds` times after one call each that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for counted in [False] + [True] * rounds:
        for name, call in contestants.items():
            start = time.perf_counter()
            call()
            if counted:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half of its 95 % interval by Student's t; of a single value, none."""
    if len(values) < 2:
        return values[0], math.nan
    half = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values), half


def plus_minus(values: Sequence[float], digits: int = 2) -> str:
    """The same as `mean ± half`."""
    mean, half = interval(values)
    return f"{mean:.{digits}f}" + ("" if math.isnan(half) else f" ± {half:.{digits}f}")


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
