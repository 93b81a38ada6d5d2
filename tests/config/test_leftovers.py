"""What a recipe says of a part that was exchanged for another."""

import pytest

from tenfold.config.check import check_config
from tenfold.config.compose import compose, to_plain
from tenfold.config.leftovers import leftovers
from tenfold.errors import UserError

RECIPE = "experiment=word_embeddings/python_reference"  # sets optimizer.lr, scheduler.warmup and scheduler.final


@pytest.mark.parametrize(
    ("overrides", "kept"),
    [
        ([], []),
        (["optimizer=rows"], []),  # the recipe's own choice
        (["optimizer=sgd"], ["optimizer=sgd keeps the recipe's optimizer.lr=0.05"]),
        (["optimizer=sgd", "optimizer.lr=0.1"], []),
        (["scheduler=cosine", "scheduler.final=0"], ["scheduler=cosine keeps the recipe's scheduler.warmup=0:"]),
        (["scheduler=cosine", "~scheduler.warmup"], ["scheduler=cosine keeps the recipe's scheduler.final=0.004:"]),
        (["scheduler=null"], []),
    ],
)
def test_values_found_for_another_part_are_told(overrides, kept):
    compose("train", [RECIPE, *overrides])
    told = list(leftovers())
    assert len(told) == len(kept) and all(line.startswith(start) for line, start in zip(told, kept, strict=True))


def test_a_chosen_scheduler_that_lost_its_target_is_no_null():
    with pytest.raises(UserError, match="scheduler: found warmup, .* expected a _target_ too"):
        check_config(compose("train", ["~scheduler._target_"]))


def test_nothing_is_told_where_there_is_no_recipe():
    compose("train", ["experiment=null", "optimizer=sgd"])
    assert not list(leftovers())


@pytest.mark.parametrize("override", ["scheduler=null", "~scheduler"])
def test_no_scheduler_is_none_whatever_the_recipe_says_of_its_own(override):
    config = compose("train", [RECIPE, override])
    check_config(config)
    assert to_plain(config, folder="run")["scheduler"] is None
