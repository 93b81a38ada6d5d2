"""Accuracy and R² of the graph recipes on their test splits, over seeds.

    python tests/benchmarks/gnn_quality.py [recipe [seeds [override ...]]]          or: make bench args=gnn_quality

A recipe on files of yours is told where they are: `gnn_quality gnn/cora 10 data.root=...`. Checkpoints are chosen on
validation data; each run is one of `tenfold train`. Beside: label propagation, or the mean of the training graphs.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness import table, train

RECIPES = ("gnn/digits_gcn", "gnn/digits_gat", "gnn/karate", "gnn/atlas")
SEEDS = 3


def main(recipe: str | None = None, seeds: str = str(SEEDS), *overrides: str) -> None:
    rows = [row(name, int(seeds), *overrides) for name in ([recipe] if recipe else RECIPES)]
    print(table(["recipe", "test", "mean", "deviation", "baseline", "seconds a run", "runs"], rows))


def row(recipe: str, seeds: int, *overrides: str) -> list[object]:
    quiet = ["logger=none", "threads=1", "callbacks.pictures=null"]
    runs = [train(f"experiment={recipe}", f"seed={seed}", *quiet, *overrides) for seed in range(1, seeds + 1)]
    metric = "test/r2" if "test/r2" in runs[0]["metrics"] else "test/accuracy"
    values = [run["metrics"][metric] for run in runs]
    seconds = statistics.mean(run["seconds"] for run in runs)
    spread = statistics.stdev(values) if seeds > 1 else 0.0
    baseline = runs[0]["baselines"][metric]
    shown = [f"{value:.4f}" for value in (statistics.mean(values), spread, baseline)]
    return [recipe, metric.removeprefix("test/"), *shown, f"{seconds:.0f}", seeds]


if __name__ == "__main__":
    main(*sys.argv[1:])
