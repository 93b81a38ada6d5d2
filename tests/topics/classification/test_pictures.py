import subprocess
import sys
import warnings

import pytest
import torch

from tenfold.callbacks import figures
from tenfold.callbacks.figures import printable, render
from tenfold.topics.classification import metrics, pictures


def evaluated(classes: int, samples: int = 300) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (samples,), generator=generator)
    logits = torch.randn(samples, classes, generator=generator)
    logits[torch.arange(samples), labels] += 2
    return logits, labels


def names_of(classes: int) -> list[str]:
    return [f"kind {index}" for index in range(classes)]


def texts_in(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


@pytest.fixture(autouse=True)
def no_tofu():
    """Matplotlib warns of every character that no font has."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


@pytest.mark.parametrize("classes", [2, 10, 26, 100])
def test_every_figure_draws(classes):
    logits, labels = evaluated(classes)
    for figure in (
        pictures.confusion_matrix(logits, labels, names_of(classes)),
        pictures.reliability_diagram(logits, labels),
        pictures.precision_recall_curves(logits, labels, names_of(classes)),
    ):
        pixels = render(figure)
        assert pixels.shape[2] == 3
        assert pixels.std() > 5  # not a blank sheet
        assert max(pixels.shape) < 2000


def test_confusion_matrix_writes_the_counts_into_its_cells():
    logits, labels = evaluated(4)
    figure = pictures.confusion_matrix(logits, labels, names_of(4))
    counts = metrics.confusion_matrix(logits, labels, 4)
    written = {text.get_position(): int(text.get_text()) for text in figure.axes[0].texts}
    assert written == {(p, t): int(counts[t, p]) for t in range(4) for p in range(4) if counts[t, p]}
    accuracy = (logits.argmax(1) == labels).double().mean()
    assert figure.axes[0].get_title() == f"Accuracy {accuracy:.2%} of 300 samples"


def test_confusion_matrix_names_the_most_frequent_mistake():
    labels, predictions = torch.tensor([0, 0, 0, 1, 2]), torch.tensor([2, 2, 0, 1, 1])
    logits = torch.nn.functional.one_hot(predictions, 3).float()
    label = pictures.confusion_matrix(logits, labels, ["cat", "dog", "fox"]).axes[0].get_xlabel()
    assert label.endswith("most frequent mistakes:   cat → fox (2)   fox → dog (1)")


def test_confusion_matrix_of_a_hundred_classes_has_colours_only():
    assert texts_in(pictures.confusion_matrix(*evaluated(100), names_of(100))) == []


def test_reliability_diagram_says_the_calibration_error():
    logits, labels = evaluated(3)
    upper, lower = pictures.reliability_diagram(logits, labels).axes
    assert f"{metrics.reliability(logits, labels).ece:.4f}" in upper.get_title()
    assert sum(bar.get_height() for bar in lower.patches) == len(labels)


@pytest.mark.parametrize("classes, named", [(3, 3), (12, 12), (13, 5)])
def test_precision_recall_curves_name_few_classes(classes, named):
    axes = pictures.precision_recall_curves(*evaluated(classes), names_of(classes)).axes[0]
    assert len(axes.lines) == classes
    assert len(axes.get_legend().get_texts()) == named


def test_precision_recall_curves_leave_out_absent_classes():
    logits, labels = evaluated(4)
    kept = labels != 2
    axes = pictures.precision_recall_curves(logits[kept], labels[kept], names_of(4)).axes[0]
    assert len(axes.lines) == 3


@pytest.mark.parametrize("channels", [1, 3])
def test_hardest_images_come_by_falling_loss(channels):
    logits, labels = evaluated(5)
    asked: list[int] = []

    def example(index: int) -> torch.Tensor:
        asked.append(index)
        return torch.full((channels, 8, 8 + index % 3), index % 256, dtype=torch.uint8)

    figure = pictures.hardest_examples(logits, labels, names_of(5), example, most=7)
    loss = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    assert asked == loss.argsort(descending=True)[:7].tolist()
    assert len(figure.axes[0].images) == 7
    worst = asked[0]
    predicted = int(logits[worst].argmax())
    caption = f"kind {labels[worst]}\n→ kind {predicted}  {logits[worst].softmax(0)[predicted]:.0%}"
    assert caption in texts_in(figure)
    render(figure)


def test_fewer_samples_than_asked_for():
    logits, labels = evaluated(2, samples=3)
    figure = pictures.hardest_examples(logits, labels, ["a", "b"], lambda index: torch.zeros(1, 4, 4).byte())
    assert len(figure.axes[0].images) == 3


def test_hardest_text_is_a_table_that_no_review_can_break():
    logits, labels = torch.tensor([[4.0, 0.0], [0.0, 0.1]]), torch.tensor([1, 1])
    review = "太差 | <script>alert(1)</script>\n*really* [no](x)"
    page = pictures.hardest_examples(logits, labels, ["差评", "好评"], lambda index: review)
    header, rule, worst, second = page.splitlines()
    assert {line.count("|") for line in (header, rule, worst, second)} == {6}
    assert worst.startswith("| 好评 | 1.8% | 差评 | 98.2% | 太差 ")
    assert not set("<>*[]`") & set(worst)


def test_long_texts_are_cut():
    page = pictures.hardest_text(torch.zeros(1, 2), torch.tensor([0]), ["a", "b"], ["字" * 1000])
    assert page.count("字") == 299
    assert "…" in page


def test_names_that_no_font_has_become_numbers(monkeypatch):
    monkeypatch.setattr(figures, "font_families", lambda: ("DejaVu Sans",))
    monkeypatch.setattr(figures, "_drawable_characters", figures._drawable_characters.__wrapped__)
    assert printable(["差评", "good", "a name of over eighteen letters"]) == ["class 0", "good", "a name of over ei…"]


def test_a_dollar_is_no_mathematics():
    logits, labels = evaluated(2)
    figure = pictures.confusion_matrix(logits, labels, ["$^", "_b$"])
    render(figure)


def test_degenerate_results_draw():
    certain, labels = torch.eye(3) * 200, torch.arange(3)
    for logits in (certain, certain.roll(1, 0), torch.full((3, 3), torch.nan)):
        render(pictures.confusion_matrix(logits, labels, ["a", "b", "c"]))
        render(pictures.reliability_diagram(logits, labels))
        render(pictures.precision_recall_curves(logits, labels, ["a", "b", "c"]))


def test_pictures_do_without_pyplot():
    """In a fresh process: pyplot picks a backend for the whole program, and costs start-up time."""
    program = (
        "import sys, torch; from tenfold.topics.classification import pictures as p; "
        "from tenfold.callbacks.figures import render; assert 'matplotlib' not in sys.modules; "
        "render(p.confusion_matrix(torch.eye(2), torch.arange(2), ['a', 'b'])); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
