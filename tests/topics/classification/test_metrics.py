import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics
from torchmetrics.functional import classification as torchmetrics_classification

from tenfold.topics.classification import metrics


def evaluated(classes: int, samples: int = 800, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are right about two times in three, of classes of unequal size."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(samples, generator=generator) ** 2 * classes).long()
    logits = torch.randn(samples, classes, generator=generator)
    logits[torch.arange(samples), labels] += 1.5
    return logits, labels


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_agrees_with_scikit_learn(classes):
    logits, labels = evaluated(classes)
    predictions = logits.argmax(1)
    found = metrics.classification_metrics(logits, labels)
    macro = sklearn_metrics.precision_recall_fscore_support(labels, predictions, average="macro", zero_division=0)
    assert found["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(labels, predictions))
    assert [found[f"{name}_macro"] for name in ("precision", "recall", "f1")] == pytest.approx(macro[:3])
    assert found["f1_micro"] == pytest.approx(sklearn_metrics.f1_score(labels, predictions, average="micro"))
    assert ("top5_accuracy" in found) == (classes > 5)
    if classes > 5:
        top5 = sklearn_metrics.top_k_accuracy_score(labels, logits, k=5, labels=range(classes))
        assert found["top5_accuracy"] == pytest.approx(top5)


@pytest.mark.parametrize("classes", [3, 10])
def test_agrees_with_torchmetrics(classes):
    logits, labels = evaluated(classes, seed=1)
    found = metrics.classification_metrics(logits, labels)
    ece = torchmetrics_classification.multiclass_calibration_error(logits, labels, classes, n_bins=15)
    assert found["ece"] == pytest.approx(float(ece), abs=1e-6)
    for name in ("precision", "recall", "f1_score"):
        theirs = getattr(torchmetrics_classification, f"multiclass_{name}")(logits, labels, classes, average="macro")
        assert found[f"{name.removesuffix('_score')}_macro"] == pytest.approx(float(theirs), abs=1e-6)


def test_keys_come_in_the_order_of_a_report():
    assert list(metrics.classification_metrics(*evaluated(6))) == [
        "accuracy",
        "top5_accuracy",
        "precision_macro",
        "recall_macro",
        "f1_macro",
        "f1_micro",
        "ece",
    ]


def test_a_class_neither_present_nor_predicted_is_left_out_of_macro_means():
    labels = torch.tensor([0, 0, 1, 1])
    logits = torch.nn.functional.one_hot(torch.tensor([0, 1, 1, 1]), 4).float() * 5
    found = metrics.classification_metrics(logits, labels)
    assert found["f1_macro"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    predicted_only = torch.nn.functional.one_hot(torch.tensor([0, 1, 1, 3]), 4).float() * 5
    found = metrics.classification_metrics(predicted_only, labels)
    assert found["f1_macro"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)  # class 3, predicted in vain, counts with 0


def test_per_class_is_the_table_of_scikit_learn():
    logits, labels = evaluated(7)
    table = sklearn_metrics.precision_recall_fscore_support(labels, logits.argmax(1), labels=range(7), zero_division=0)
    classes = metrics.per_class(logits, labels)
    for ours, theirs in zip((classes.precision, classes.recall, classes.f1, classes.support), table, strict=True):
        np.testing.assert_allclose(ours, theirs)
    assert classes.predicted.tolist() == logits.argmax(1).bincount(minlength=7).tolist()


def test_confusion_matrix_has_true_classes_in_rows():
    logits, labels = evaluated(5)
    expected = sklearn_metrics.confusion_matrix(labels, logits.argmax(1), labels=range(5))
    np.testing.assert_array_equal(metrics.confusion_matrix(logits, labels, 5), expected)
    np.testing.assert_array_equal(metrics.confusion_matrix(logits.argmax(1), labels, 5), expected)
    assert metrics.confusion_matrix(torch.tensor([2]), torch.tensor([0]), 3).tolist() == [[0, 0, 1], [0] * 3, [0] * 3]


def test_reliability_puts_a_confidence_of_one_in_the_last_bin():
    logits = torch.tensor([[200.0, 0.0], [200.0, 0.0], [0.0, 0.0]])  # confidence 1, 1, 0.5; class 0 each time
    found = metrics.reliability(logits, torch.tensor([0, 1, 0]), bins=4)
    assert found.samples.tolist() == [0, 1, 0, 2]  # 0.5 closes the second bin
    assert found.accuracy.tolist() == [0, 1, 0, 0.5]
    assert found.confidence.tolist() == [0, 0.5, 0, 1]
    assert float(found.ece) == pytest.approx((0.5 + 2 * 0.5) / 3)


def test_top_k_needs_the_class_among_the_k_best():
    logits = torch.tensor([[5.0, 4, 3, 2, 1, 0]]).repeat(6, 1)
    assert float(metrics.top_k_accuracy(logits, torch.arange(6), 5)) == pytest.approx(5 / 6)
    assert float(metrics.top_k_accuracy(logits, torch.arange(6), 1)) == pytest.approx(1 / 6)


@pytest.mark.parametrize("digits", [1, 6])  # one digit: many samples share a score
def test_precision_recall_curve_and_average_precision(digits):
    generator = torch.Generator().manual_seed(3)
    positive = torch.rand(500, generator=generator) < 0.2
    scores = (torch.rand(500, generator=generator) + 0.4 * positive).round(decimals=digits)
    precision, recall, _ = sklearn_metrics.precision_recall_curve(positive, scores)
    curve = metrics.precision_recall_curve(scores, positive)
    np.testing.assert_allclose(curve.precision, precision[::-1])
    np.testing.assert_allclose(curve.recall, recall[::-1])
    assert float(curve.average_precision) == pytest.approx(sklearn_metrics.average_precision_score(positive, scores))


def test_bootstrap_interval_is_that_of_drawn_resamples():
    correct = torch.arange(400) % 10 > 0  # 90 %
    low, high = metrics.bootstrap_interval(correct, resamples=20000)
    draws = np.random.default_rng(0).choice(correct.numpy(), (20000, 400)).mean(1)
    assert (low, high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=0.003)
    assert metrics.bootstrap_interval(correct) == metrics.bootstrap_interval(correct)
    wide = metrics.bootstrap_interval(correct, level=0.99, resamples=20000)
    assert wide[0] < low < 0.9 < high < wide[1]


def test_bootstrap_interval_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    metrics.bootstrap_interval(torch.ones(10, dtype=torch.bool))
    assert torch.equal(before, torch.get_rng_state())


def test_bootstrap_interval_of_no_mistake_has_no_width():
    assert metrics.bootstrap_interval(torch.ones(50, dtype=torch.bool)) == (1.0, 1.0)
