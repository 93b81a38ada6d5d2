"""A student alone, taught by soft targets, taught by hints too, and its teacher: size, latency, accuracy.

    python tests/benchmarks/distillation_comparison.py [seeds]

All students are the same network with the same data, steps and rates; each seed trains one of each, so that
differences are taken seed by seed. The teacher is trained once. One thread.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from harness import interleaved, table, train
from scipy.stats import t
from torch import Tensor, nn

from tenfold.config.compose import compose, to_plain
from tenfold.engine.build import build_data, build_module

STUDENTS = ("alone", "soft", "hints")
TEACHER = "distillation/mnist5k_teacher"
CALLS = 200  # of each network in a round of the timing


def accuracies(seeds: int, outputs: str) -> dict[str, list[float]]:
    """Test accuracy of each student, by seed."""
    found: dict[str, list[float]] = {name: [] for name in STUDENTS}
    for seed in range(1, seeds + 1):
        for name in STUDENTS:
            record = train(f"experiment=distillation/mnist5k_{name}", f"seed={seed}", f"outputs={outputs}", "threads=1")
            found[name].append(record["metrics"]["test/accuracy"])
            print(
                f"seed {seed} {name}: {found[name][-1]:.2%} in {record['seconds']:.0f} s", file=sys.stderr, flush=True
            )
    return found


def teachers_record(outputs: str) -> dict[str, Any]:
    (path,) = Path(outputs, TEACHER).glob("*/metrics.json")
    return json.loads(path.read_text(encoding="utf-8"))


def exported(recipe: str) -> tuple[nn.Module, Tensor]:
    """The network that the recipe's runs export, untrained, and an input of one sample."""
    config = to_plain(compose("train", [f"experiment={recipe}", "folder=run"]))
    data = build_data(config)
    data.setup()
    module = build_module(config, data.spec)
    return getattr(module, module.exported).eval(), module.example_inputs()[0][:1]


def latencies(networks: dict[str, tuple[nn.Module, Tensor]]) -> dict[str, float]:
    """Milliseconds of a forward pass at batch 1, the contestants taking turns."""
    torch.set_num_threads(1)

    def calls(network: nn.Module, inputs: Tensor) -> None:
        with torch.inference_mode():
            for _ in range(CALLS):
                network(inputs)

    contestants = {name: lambda pair=pair: calls(*pair) for name, pair in networks.items()}
    return {name: seconds / CALLS * 1e3 for name, seconds in interleaved(contestants, rounds=9).items()}


def paired(values: list[float], others: list[float]) -> str:
    """Mean difference with its 95 % interval by Student's t over seeds."""
    differences = [a - b for a, b in zip(values, others, strict=True)]
    mean = statistics.mean(differences)
    half = float(t.ppf(0.975, len(differences) - 1)) * statistics.stdev(differences) / math.sqrt(len(differences))
    return f"{100 * mean:+.2f} [{100 * (mean - half):+.2f}, {100 * (mean + half):+.2f}]"


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as outputs:
        found = accuracies(seeds, outputs)
        teacher = teachers_record(outputs)
    networks = {name: exported(f"distillation/mnist5k_{name}") for name in STUDENTS} | {"teacher": exported(TEACHER)}
    times = latencies(networks)
    rows = []
    for name, (network, _) in networks.items():
        size = f"{sum(parameter.numel() for parameter in network.parameters()):,}"
        if name == "teacher":
            rows.append([name, size, f"{times[name]:.2f}", f"{teacher['metrics']['test/accuracy']:.2%} (1 seed)", ""])
            continue
        accuracy = f"{statistics.mean(found[name]):.2%} ± {statistics.stdev(found[name]):.2%}"
        rows.append(
            [name, size, f"{times[name]:.2f}", accuracy, paired(found[name], found["alone"]) if name != "alone" else ""]
        )
    header = [
        "",
        "parameters",
        "ms at batch 1",
        f"test accuracy, {seeds} seeds",
        "paired difference from alone, points, 95 %",
    ]
    print(table(header, rows))


if __name__ == "__main__":
    main()
