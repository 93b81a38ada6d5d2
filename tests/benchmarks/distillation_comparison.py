"""A student alone, taught by soft targets, taught by hints too, and its teacher: size, latency, accuracy.

    python tests/benchmarks/distillation_comparison.py [seeds]

All students are the same network with the same data, steps and rates; each seed trains one of each, so that
differences are taken seed by seed. The teacher is trained once. One thread.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from harness import interleaved, interval, table, train
from torch import Tensor, nn

from tenfold.config.compose import compose, to_plain
from tenfold.engine.build import build_data, build_module

STUDENTS = ("alone", "soft", "hints")
TEACHER = "distillation/mnist5k_teacher"
CALLS = 200  # of each network in a round of the timing


def scores(seeds: int, outputs: str) -> dict[str, list[tuple[float, float]]]:
    """Test accuracy, in per cent, and cross-entropy of each student, by seed."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in STUDENTS}
    for seed in range(1, seeds + 1):
        for name in STUDENTS:
            record = train(f"experiment=distillation/mnist5k_{name}", f"seed={seed}", f"outputs={outputs}", "threads=1")
            accuracy, loss = record["metrics"]["test/accuracy"], record["metrics"]["test/loss"]
            found[name].append((100 * accuracy, loss))
            print(
                f"seed {seed} {name}: {accuracy:.2%}, {loss:.4f} in {record['seconds']:.0f} s",
                file=sys.stderr,
                flush=True,
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


def bounds(values: Sequence[float], digits: int) -> str:
    """Mean with its 95 % interval by Student's t over seeds."""
    mean, half = interval(values)
    return f"{mean:+.{digits}f} [{mean - half:+.{digits}f}, {mean + half:+.{digits}f}]"


def row(found: dict[str, list[tuple[float, float]]], name: str) -> list[str]:
    """Accuracy and cross-entropy of a student, and how far each is from the student alone, seed by seed."""
    (accuracy, loss), alone = zip(*found[name], strict=True), list(zip(*found["alone"], strict=True))
    shown = [f"{statistics.mean(accuracy):.2f} ± {statistics.stdev(accuracy):.2f}", f"{statistics.mean(loss):.4f}"]
    if name == "alone":
        return [*shown, "", ""]
    gains = ([a - b for a, b in zip(*pair, strict=True)] for pair in zip((accuracy, loss), alone, strict=True))
    return [*shown, *map(bounds, gains, (2, 4))]


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as outputs:
        found = scores(seeds, outputs)
        teacher = teachers_record(outputs)["metrics"]
    networks = {name: exported(f"distillation/mnist5k_{name}") for name in STUDENTS} | {"teacher": exported(TEACHER)}
    times = latencies(networks)
    rows = []
    for name, (network, _) in networks.items():
        size = f"{sum(parameter.numel() for parameter in network.parameters()):,}"
        one = [f"{100 * teacher['test/accuracy']:.1f} (1 seed)", f"{teacher['test/loss']:.4f}", "", ""]
        rows.append([name, size, f"{times[name]:.2f}", *(row(found, name) if name in found else one)])
    header = ["", "parameters", "ms at batch 1", f"test accuracy, {seeds} seeds", "cross-entropy"]
    print(table([*header, "points above alone, 95 %", "cross-entropy above alone, 95 %"], rows))


if __name__ == "__main__":
    main()
