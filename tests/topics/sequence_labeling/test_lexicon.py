"""The word list from training tags: what it says of a token, and what it keeps to itself in training."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from tenfold.config.spec import spec_from_dict
from tenfold.errors import UserError
from tenfold.topics.sequence_labeling.data import Sentence
from tenfold.topics.sequence_labeling.lexicon import collect, lexicon_columns
from tenfold.topics.sequence_labeling.sources import PeopleDaily
from tenfold.topics.sequence_labeling.spec import TaggingSpec


def people_daily(**overrides: Any) -> PeopleDaily:
    settings = {"task": "segmentation", "unit": "character", "lexicon_parts": 3, "max_documents": 6, "batch_size": 2}
    return PeopleDaily(**(settings | {"val_fraction": 1 / 6, "test_fraction": 1 / 6} | overrides))


def test_words_of_a_sentence_s_own_part_are_hidden_from_it() -> None:
    common, own = Sentence(list("abcd"), ["B", "E", "B", "E"]), Sentence(list("xyzab"), ["B", "I", "E", "B", "E"])
    total, known = collect([own, *[common] * 39], parts=2)
    assert total == {"ab", "cd", "xyz"}
    assert known is not None
    assert known[0] == known[19] == {"ab", "cd"}
    assert known[20] == known[39] == {"ab", "cd", "xyz"}
    assert collect([own], parts=0) == (frozenset(), None)


def test_longest_words_that_begin_end_and_go_round() -> None:
    said = lexicon_columns(list("abcde"), {"ab", "abc", "cd", "bcde"})
    assert said["known_lengths"] == ["31", "42", "23", "12", "14"]
    assert said["known_place"] == ["b3", "b4", "i4", "i4", "e4"]
    assert said["begins_known"] == ["a3", "b4", "c2", "d1", "e1"]
    assert said["ends_known"] == ["a1", "b2", "c3", "d2", "e4"]


def test_prediction_and_testing_know_all_words_of_training() -> None:
    data = people_daily()
    data.setup()
    tokens = data.sentences["test"][0].tokens
    again = spec_from_dict(json.loads(json.dumps(data.spec.to_dict())))
    assert isinstance(again, TaggingSpec)
    assert again.width == 9
    assert torch.equal(again.encode(tokens), data.splits["test"].inputs[: len(tokens)])
    shown = data.sentences["train"][0].tokens
    assert not torch.equal(again.encode(shown), data.splits["train"].inputs[: len(shown)])


@pytest.mark.parametrize(("overrides", "told"), [({"lexicon_parts": 1}, "found 1"), ({"scheme": None}, "plain labels")])
def test_refused_lexicons(overrides: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        people_daily(**overrides)
