"""Metrics of a whole evaluated split, in plain torch.

`logits` are `[samples, classes]` and `labels` `[samples]`, on any device. A validation pass on a thousand samples ends
many short epochs, so everything is counted with a few vectorised operations and brought to Python in one transfer.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class PerClass(NamedTuple):
    """Each class against the rest; every tensor is `[classes]`. A ratio with nothing to divide by is 0."""

    precision: Tensor
    recall: Tensor
    f1: Tensor
    support: Tensor  # samples of the class
    predicted: Tensor  # samples taken for the class


class Reliability(NamedTuple):
    """Confidence against accuracy in equal bins of confidence; every tensor is `[bins]`, 0 where a bin is empty."""

    confidence: Tensor
    accuracy: Tensor
    samples: Tensor

    @property
    def ece(self) -> Tensor:
        r"""Expected calibration error, :math:`\sum_b \frac{n_b}{n} |acc_b - conf_b|` (Guo et al., 2017, 1706.04599)."""
        return (self.samples * (self.accuracy - self.confidence).abs()).sum() / self.samples.sum()


class PrecisionRecall(NamedTuple):
    """A curve from the highest threshold to the lowest, begun at precision 1 and recall 0; each `[thresholds + 1]`."""

    precision: Tensor
    recall: Tensor

    @property
    def average_precision(self) -> Tensor:
        r""":math:`\sum_n (R_n - R_{n-1}) P_n`, without interpolation."""
        return (self.recall.diff() * self.precision[1:]).sum()


def classification_metrics(logits: Tensor, labels: Tensor, bins: int = 15) -> dict[str, float]:
    """Accuracy, precision, recall, F1 and calibration; top-5 accuracy where there are more than five classes.

    A macro mean gives each class the same weight and leaves out a class that has neither a sample nor a prediction, as
    scikit-learn and torchmetrics do. Micro F1 pools all decisions: with one label for each sample it is the accuracy.
    """
    predictions = logits.argmax(1)
    classes = _per_class(predictions, labels, logits.shape[1])
    seen = (classes.support + classes.predicted) > 0
    accuracy = (predictions == labels).double().mean()
    values = {"accuracy": accuracy}
    if logits.shape[1] > 5:
        values["top5_accuracy"] = top_k_accuracy(logits, labels, 5)
    values |= {
        "precision_macro": classes.precision[seen].mean(),
        "recall_macro": classes.recall[seen].mean(),
        "f1_macro": classes.f1[seen].mean(),
        "f1_micro": accuracy,
        "ece": reliability(logits, labels, bins).ece,
    }
    return dict(zip(values, torch.stack(list(values.values())).tolist(), strict=True))


def per_class(logits: Tensor, labels: Tensor) -> PerClass:
    """Precision, recall and F1 of each class, with the counts behind them."""
    return _per_class(logits.argmax(1), labels, logits.shape[1])


def _per_class(predictions: Tensor, labels: Tensor, num_classes: int) -> PerClass:
    correct = torch.bincount(labels[predictions == labels], minlength=num_classes).double()
    support = torch.bincount(labels, minlength=num_classes)
    predicted = torch.bincount(predictions, minlength=num_classes)
    return PerClass(
        precision=correct / predicted.clamp(min=1),
        recall=correct / support.clamp(min=1),
        f1=2 * correct / (support + predicted).clamp(min=1),
        support=support,
        predicted=predicted,
    )


def confusion_matrix(logits_or_predictions: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Counts `[true class, predicted class]`, from logits `[samples, classes]` or predicted classes `[samples]`."""
    predictions = logits_or_predictions
    if predictions.ndim == 2:
        predictions = predictions.argmax(1)
    cells = torch.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes)


def top_k_accuracy(logits: Tensor, labels: Tensor, k: int) -> Tensor:
    """Share of samples whose class is among the k of highest logit."""
    return (logits.topk(k, dim=1).indices == labels[:, None]).any(1).double().mean()


def reliability(logits: Tensor, labels: Tensor, bins: int = 15) -> Reliability:
    """Bin samples by the probability of the predicted class, in bins (low, high] of equal width over 0 to 1."""
    confidence, predictions = logits.softmax(1).max(1)
    edges = torch.linspace(0, 1, bins + 1, device=logits.device)
    index = torch.bucketize(confidence, edges[1:-1])
    samples = torch.bincount(index, minlength=bins).double()
    filled = samples.clamp(min=1)
    mean_confidence = torch.zeros_like(samples).index_add_(0, index, confidence.double()) / filled
    accuracy = torch.zeros_like(samples).index_add_(0, index, (predictions == labels).double()) / filled
    return Reliability(mean_confidence, accuracy, samples)


def precision_recall_curve(scores: Tensor, positive: Tensor) -> PrecisionRecall:
    """One class against the rest: its scores `[samples]` and whether each sample is of the class `[samples]`.

    Samples of one score are accepted together. Recall is NaN where no sample is of the class.
    """
    ordered, order = scores.sort(descending=True)
    last_of_score = torch.cat([ordered[1:] != ordered[:-1], ordered.new_ones(1, dtype=torch.bool)])
    true_positives = positive[order].double().cumsum(0)[last_of_score]
    accepted = last_of_score.nonzero().squeeze(1) + 1
    start = true_positives.new_ones(1)
    return PrecisionRecall(
        precision=torch.cat([start, true_positives / accepted]),
        recall=torch.cat([start * 0, true_positives / true_positives[-1]]),
    )


def bootstrap_interval(
    correct: Tensor, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of an accuracy, from whether each sample is right `[samples]`.

    A resample of n samples with replacement holds Binomial(n, accuracy) right ones, so its accuracy is drawn directly.
    With all right the interval has no width, though the true error may be as high as about 3 / n; so with all wrong.
    """
    correct = correct.cpu().double()
    generator = torch.Generator().manual_seed(seed)
    size = torch.full((resamples,), float(len(correct)), dtype=torch.double)
    accuracies = torch.binomial(size, correct.mean().expand(resamples), generator) / size
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.double)
    low, high = accuracies.quantile(tails).tolist()
    return low, high
