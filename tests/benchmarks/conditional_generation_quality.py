"""What the conditional generators reach on their test splits: label agreement, samples-only accuracy, copies.

`python tests/benchmarks/conditional_generation_quality.py [cvae flow gru transformer]`. More samples are made than in
the recipes, which keep their own test short: 1,000 to be judged, 4,000 to train a classifier on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from harness import table, train

Row = tuple[str, ...]


def cvae() -> Row:
    return _images("mnist5k_cvae", "CVAE")


def flow() -> Row:
    return _images("mnist5k_flow", "flow matching")


def gru() -> Row:
    return _texts("reviews_gru", "GRU")


def transformer() -> Row:
    return _texts("reviews_transformer", "Transformer")


def _images(recipe: str, name: str) -> Row:
    more = ("model.test_samples=1000", "model.samples_only=4000")
    record = train(f"experiment=conditional_generation/{recipe}", *more)
    found = record["metrics"]
    other = (
        f"samples-only accuracy {found['test/samples_only_accuracy']:.2%}, FID {found['test/fid']:.2f} "
        f"(floor {found['test/fid_floor']:.2f}), nearer to training images than unseen ones {found['test/copied']:.1%}"
    )
    return name, *_agreement(record), other


def _texts(recipe: str, name: str) -> Row:
    record = train(f"experiment=conditional_generation/{recipe}", "model.test_samples=1000")
    found = record["metrics"]
    other = (
        f"perplexity {found['test/perplexity']:.1f}, longest run copied {found['test/longest_copy']:.0f} tokens, "
        f"in the mean {found['test/mean_copy']:.1f} (unseen reviews {found['test/real_copy']:.1f}), "
        f"distinct {found['test/distinct']:.1%}"
    )
    return name, *_agreement(record), other


def _agreement(record: dict[str, Any]) -> tuple[str, str]:
    low, high = record["intervals"]["test/label_agreement"]
    agreement = f"{record['metrics']['test/label_agreement']:.2%} ({low:.1%} to {high:.1%})"
    return agreement, f"{record['seconds']:.0f} s"


PARTS: dict[str, Callable[[], Row]] = {"cvae": cvae, "flow": flow, "gru": gru, "transformer": transformer}


def main() -> None:
    rows = [PARTS[name]() for name in sys.argv[1:] or PARTS]
    print(table(["model", "label agreement", "training", "beside it"], rows))


if __name__ == "__main__":
    main()
