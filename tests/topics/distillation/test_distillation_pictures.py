import torch
from torch import Tensor

from tenfold.callbacks.figures import render
from tenfold.topics.distillation.pictures import _means, _who_is_right, class_means, soft_targets


def probabilities(samples: int, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    taught, learned = torch.randn(2, samples, classes).softmax(2)
    return taught, learned, torch.arange(samples) % classes


def test_class_means_are_means_over_each_true_class():
    taught, _, labels = probabilities(12, 4)
    means = _means(taught, labels)
    for row in range(4):
        torch.testing.assert_close(means[row], taught[labels == row].mean(0))
    torch.testing.assert_close(_means(taught[:0], labels[:0]), torch.zeros(4, 4))


def test_who_is_right_adds_up():
    labels = torch.tensor([0, 0, 0, 1, 1])
    taught = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    learned = torch.tensor([[0.9, 0.1], [0.3, 0.7], [0.7, 0.3], [0.8, 0.2], [0.1, 0.9]])
    assert _who_is_right(taught, learned, labels).endswith("both right 2, teacher only 1, student only 1, neither 1")


def test_pictures_of_images_and_of_texts_of_few_and_of_many_classes():
    for samples, classes, example in (
        (5, 3, lambda index: torch.zeros(1, 8, 8, dtype=torch.uint8)),
        (1, 30, lambda index: "some text"),
    ):
        values = probabilities(samples, classes)
        names = [f"class {i}" for i in range(classes)]
        assert render(soft_targets(*values, names, example)).std() > 0
        assert render(class_means(*values, names)).std() > 0


def test_the_least_sure_samples_are_shown_first():
    taught = torch.tensor([[0.98, 0.01, 0.01], [0.4, 0.3, 0.3], [0.6, 0.3, 0.1]])
    asked: list[int] = []

    def example(index: int) -> str:
        asked.append(index)
        return str(index)

    soft_targets(taught, taught, torch.tensor([0, 1, 2]), "abc", example, most=2)
    assert asked == [1, 2]
