"""Peak memory of a training run against the size of its micro-batches, each in a process of its own.

    python tests/benchmarks/accumulation_memory.py

The resident set is the system's count of the whole process, Python and torch included. Beside it, what autograd keeps
in such a step by the engine's count (`callbacks=[default,memory]`); the resident set saves more, the backward
pass's own temporaries.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import table

BATCH, SIZES = 1024, (1024, 512, 256, 64, 16)
RECIPE = [
    "experiment=classification/mnist5k",
    f"data.batch_size={BATCH}",
    "data.eval_batch_size=16",
    "data.augment=null",
    "trainer.max_epochs=1",
    "trainer.limit_train_batches=2",
    "trainer.limit_val_batches=1",
    "trainer.accelerator=cpu",
    "callbacks.pictures=null",
    "callbacks.progress=null",
    "test=false",
    "threads=1",
]


def main() -> None:
    """Print one row a size."""
    report = {row["micro_batch_size"]: row["activations_mib"] for row in memory_report()}
    peaks = {size: peak_resident_mib(size) for size in SIZES}
    rows = []
    for size in SIZES:
        found = (peaks[size], peaks[BATCH] - peaks[size], report[size], report[BATCH] - report[size])
        rows.append([size, *(f"{value:.0f}" for value in found)])
    header = ["micro-batch size", "peak resident set, MiB", "saved", "activations, MiB", "saved"]
    print(f"mnist5k's CNN, {BATCH} samples a step\n\n{table(header, rows)}")


def peak_resident_mib(micro_batch_size: int) -> float:
    """The most memory that the training process held at once."""
    with tempfile.TemporaryDirectory() as outputs:
        command = _command(Path(outputs) / "run", f"trainer.micro_batch_size={micro_batch_size}")
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {child.returncode}")
    return usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def memory_report() -> list[dict]:
    """The rows of memory.json."""
    with tempfile.TemporaryDirectory() as outputs:
        folder = Path(outputs) / "run"
        overrides = ["callbacks=[default,memory]", "trainer.limit_train_batches=1"]
        subprocess.run(_command(folder, *overrides), stdout=subprocess.DEVNULL, check=True)
        return json.loads((folder / "memory.json").read_text(encoding="utf-8"))["rows"]


def _command(folder: Path, *overrides: str) -> list[str]:
    return [sys.executable, "-m", "tenfold", "train", f"folder={folder}", *RECIPE, *overrides]


if __name__ == "__main__":
    main()
