"""A checkpoint is measured on the kind of data that it learned from, and on no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tenfold.config.spec import DataSpec
from tenfold.data.images.spec import ImageSpec
from tenfold.data.text.spec import TextSpec
from tenfold.engine.evaluate import require_same
from tenfold.errors import UserError

IMAGES = ImageSpec(1, 8, 8, (0.25,), (0.5,), ("cat", "dog"))
TEXTS = TextSpec(("bad", "good"), "words", ("<pad>", "<unk>", "fine"), 20)


@pytest.mark.parametrize("spec", [IMAGES, TEXTS], ids=["images", "texts"])
def test_the_same_data_pass(spec: DataSpec):
    require_same(replace(spec), spec)


def test_means_of_another_machine_pass():
    require_same(replace(IMAGES, mean=(0.2500001,)), IMAGES)


@pytest.mark.parametrize(
    ("found", "expected", "named"),
    [
        (replace(IMAGES, class_names=("dog", "cat")), IMAGES, "class_names differ"),
        (replace(IMAGES, height=9), IMAGES, "height differ"),
        (replace(TEXTS, tokens=("<pad>", "<unk>", "good")), TEXTS, "tokens differ"),
        (TEXTS, IMAGES, "found TextSpec, expected ImageSpec"),
    ],
)
def test_other_data_are_refused(found: DataSpec, expected: DataSpec, named: str):
    with pytest.raises(UserError, match=named):
        require_same(found, expected)
