"""What the Transformer recipes reach on their test splits, with n-gram models of several orders beside.

`python tests/benchmarks/transformer_quality.py [dates python_reference ngrams]`
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable

from harness import table, train

from tenfold.config.compose import compose, to_plain
from tenfold.engine.build import build_data
from tenfold.topics.transformer.running_text import CharacterData

Row = tuple[str, str, str]


def dates() -> list[Row]:
    records = [train("experiment=transformer/dates", f"seed={seed}") for seed in (1, 2, 3)]
    exact = statistics.mean(record["metrics"]["test/exact_match"] for record in records)
    return [("dates, exact match on unseen days, mean of 3 seeds", f"{exact:.2%}", _seconds(records))]


def python_reference() -> list[Row]:
    record = train("experiment=transformer/python_reference")
    bits = record["metrics"]["test/bits_per_character"]
    return [("Python's reference, bits per character of the last tenth", f"{bits:.3f}", _seconds([record]))]


def ngrams() -> list[Row]:
    """Trained on what the language model is trained on; and, for order 5, on all that stands before the test part."""
    data = _text()
    rows = [(order, "train", data.kneser_ney("test", order)) for order in (3, 5, 7, 9, 12)]
    rows.append((5, "train and val", _text("data.val_fraction=0").kneser_ney("test", 5)))
    return [(f"Kneser-Ney of order {n}, on {part}", f"{m['bits_per_character']:.3f}", "") for n, part, m in rows]


def _text(*overrides: str) -> CharacterData:
    data = build_data(to_plain(compose("train", ["experiment=transformer/python_reference", *overrides])))
    assert isinstance(data, CharacterData)
    data.setup()
    return data


def _seconds(records: list[dict]) -> str:
    return f"{statistics.mean(record['seconds'] for record in records):.0f} s"


PARTS: dict[str, Callable[[], list[Row]]] = {"dates": dates, "python_reference": python_reference, "ngrams": ngrams}


def main() -> None:
    chosen = sys.argv[1:] or list(PARTS)
    rows = [row for name in chosen for row in PARTS[name]()]
    print(table(["what", "test", "training"], rows))


if __name__ == "__main__":
    main()
