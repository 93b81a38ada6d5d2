import pytest

from tenfold.data.text.vocabulary import PADDING, UNKNOWN, Vocabulary

TEXTS = [["b", "a", "b"], ["c", "b", "a"], ["d"]]


def test_most_frequent_first_and_ties_in_order_of_appearance():
    assert Vocabulary.build(TEXTS).tokens == (PADDING, UNKNOWN, "b", "a", "c", "d")


def test_rare_tokens_are_left_out():
    assert Vocabulary.build(TEXTS, min_count=2).tokens == (PADDING, UNKNOWN, "b", "a")


def test_max_size_counts_the_reserved_tokens():
    assert Vocabulary.build(TEXTS, max_size=3).tokens == (PADDING, UNKNOWN, "b")


def test_encode_gives_what_is_not_known_the_unknown_index():
    assert Vocabulary.build(TEXTS, min_count=2).encode(["a", "z", "b"]) == [3, 1, 2]


def test_reserved_tokens_in_the_text_are_not_listed_twice():
    assert Vocabulary.build([[PADDING, UNKNOWN, "a"]]).tokens == (PADDING, UNKNOWN, "a")


def test_reserved_tokens_are_required():
    with pytest.raises(ValueError, match="starts with"):
        Vocabulary(["a", "b"])
