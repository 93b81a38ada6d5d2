"""What the classification recipes reach on their test splits, with a peer and the majority beside them.

`python tests/benchmarks/classification_quality.py [mnist5k digits halves sentiment fashion]`; FashionMNIST is read from
TENFOLD_DATA (or downloaded).
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable

import numpy as np
from harness import table, train

Row = tuple[str, str, str, str, str]


def mnist5k() -> list[Row]:
    records = [train("experiment=classification/mnist5k", f"seed={seed}") for seed in (1, 2, 3)]
    return [_row("MNIST-5k, 4,000/1,000, mean of 3 seeds", records, f"SVC {_svc_mnist5k():.2%}")]


def digits() -> list[Row]:
    folds = [
        train("experiment=classification/digits", "data.protocol=folds", f"data.fold={fold}", *_DIGITS)
        for fold in range(10)
    ]
    return [_row("digits, 10-fold shuffled", folds, f"SVC {_svc_digits_folds():.2%}")]


def halves() -> list[Row]:
    records = [
        train("experiment=classification/digits", "data.protocol=halves", f"seed={s}", *_DIGITS) for s in (1, 2, 3)
    ]
    return [_row("digits, unshuffled halves, mean of 3 seeds", records, f"SVC {_svc_digits_halves():.2%}")]


def sentiment() -> list[Row]:
    once = ["experiment=classification/sentiment"]
    return [
        _sentiment("each text once, mean of 3 splits", [[*once, f"data.split_seed={seed}"] for seed in (0, 1, 2)]),
        _sentiment("texts twice, as published", [["experiment=classification/sentiment_published"]]),
    ]


def _sentiment(name: str, runs: list[list[str]]) -> Row:
    records = [train(*overrides) for overrides in runs]
    peer = statistics.mean(_tfidf(overrides) for overrides in runs)
    return _row(f"sentiment, 10 % test, {name}", records, f"tf-idf + logistic regression {peer:.2%}")


def fashion() -> list[Row]:
    return [_row("FashionMNIST, 60,000/10,000", [train("experiment=classification/fashion_mnist")], "")]


_DIGITS: tuple[str, ...] = ()


def _row(name: str, records: list[dict], peer: str) -> Row:
    accuracy = [record["metrics"]["test/accuracy"] for record in records]
    spread = f" ± {statistics.stdev(accuracy):.2%}" if len(accuracy) > 1 else ""
    seconds = statistics.mean(record["seconds"] for record in records)
    majority = statistics.mean(record["baselines"]["test/accuracy"] for record in records)
    return name, f"{statistics.mean(accuracy):.2%}{spread}", f"{seconds:.0f} s", peer, f"{majority:.2%}"


def _data(*overrides: str):
    from tenfold.config.compose import compose, to_plain
    from tenfold.engine.build import build_data

    data = build_data(to_plain(compose("train", [*overrides, "folder=run"])))
    data.setup()
    return data


def _flat(split) -> tuple[np.ndarray, np.ndarray]:
    return split.data.inputs.flatten(1).numpy() / 16.0, split.labels.numpy()


def _svc_digits_folds() -> float:
    scores = []
    for fold in range(10):
        data = _data(
            "experiment=classification/digits", "data.protocol=folds", f"data.fold={fold}", "data.val_fraction=0"
        )
        scores.append(_svc(data))
    return statistics.mean(scores)


def _svc_digits_halves() -> float:
    return _svc(_data("experiment=classification/digits", "data.protocol=halves", "data.val_fraction=0"))


def _svc_mnist5k() -> float:
    return _svc(_data("experiment=classification/mnist5k", "data.val_fraction=0"))


def _svc(data) -> float:
    """An RBF support vector classifier, trained on all that is not the test split."""
    from sklearn.svm import SVC

    inputs, labels = _flat(data.splits["train"])
    scale = inputs.max()
    gamma = 0.001 * 256 if inputs.shape[1] == 64 else "scale"
    classifier = SVC(gamma=gamma, C=10).fit(inputs / scale, labels)
    test_inputs, test_labels = _flat(data.splits["test"])
    return float(classifier.score(test_inputs / scale, test_labels))


def _tfidf(overrides: list[str]) -> float:
    """Characters' 1- to 3-grams, tf-idf, logistic regression, on the recipe's own split."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    data = _data(*overrides)
    texts = {split: [data.example(split, i) for i in range(len(data.splits[split]))] for split in ("train", "test")}
    vectors = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, min_df=2)
    model = make_pipeline(vectors, LogisticRegression(C=10, max_iter=1000))
    model.fit(texts["train"], data.labels("train").numpy())
    return float(model.score(texts["test"], data.labels("test").numpy()))


PARTS: dict[str, Callable[[], list[Row]]] = {
    "mnist5k": mnist5k,
    "digits": digits,
    "halves": halves,
    "sentiment": sentiment,
    "fashion": fashion,
}


def main() -> None:
    rows = [row for name in sys.argv[1:] or PARTS for row in PARTS[name]()]
    print(table(["data", "test accuracy", "training", "peer, same split", "majority"], rows))


if __name__ == "__main__":
    main()
