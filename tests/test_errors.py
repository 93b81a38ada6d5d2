"""The end of an error line names what a person may have meant."""

import pytest

from tenfold.errors import nearest


@pytest.mark.parametrize(
    "name, expected",
    [("adam_w", "; did you mean 'adamw'?"), ("CNN", "; did you mean 'cnn'?"), ("cifar10", "; did you mean 'CIFAR10'?")],
)
def test_nearest_names_the_closest_choice(name: str, expected: str) -> None:
    assert nearest(name, ["sgd", "adamw", "cnn", "CIFAR10"]) == expected


def test_nearest_is_silent_where_nothing_resembles() -> None:
    assert nearest("transformer", ["sgd", "cnn"]) == ""
    assert nearest("sgd", []) == ""
