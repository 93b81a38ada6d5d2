"""The end of an error line names what a person may have meant."""

import pytest

from tenfold.errors import UserError, check_number, nearest


@pytest.mark.parametrize(
    "name, expected",
    [("adam_w", "; did you mean 'adamw'?"), ("CNN", "; did you mean 'cnn'?"), ("cifar10", "; did you mean 'CIFAR10'?")],
)
def test_nearest_names_the_closest_choice(name: str, expected: str) -> None:
    assert nearest(name, ["sgd", "adamw", "cnn", "CIFAR10"]) == expected


def test_nearest_is_silent_where_nothing_resembles() -> None:
    assert nearest("transformer", ["sgd", "cnn"]) == ""
    assert nearest("sgd", []) == ""


@pytest.mark.parametrize("value", [0, 0.5, 1])
def test_a_number_within_its_bounds_is_given_back(value: float) -> None:
    assert check_number("data.share", value, 0, 1) == value


@pytest.mark.parametrize(
    "value, bounds, line",
    [
        (-1, (0,), "data.share: found -1, expected at least 0"),
        (2, (0, 1), "data.share: found 2, expected 0 to 1"),
        (float("nan"), (0,), "data.share: found nan, expected at least 0"),
        (float("inf"), (0,), "data.share: found inf, expected at least 0"),
    ],
)
def test_a_number_out_of_bounds_is_told_with_its_key(value: float, bounds: tuple[float, ...], line: str) -> None:
    with pytest.raises(UserError) as caught:
        check_number("data.share", value, *bounds)
    assert str(caught.value) == line
