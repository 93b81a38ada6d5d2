"""Texts of a person's own: a file of lines `label TAB text`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tenfold.data.text.labelled_text import LabelledTexts, TextData
from tenfold.data.text.lines import read_lines
from tenfold.errors import UserError, nearest


class TSV(TextData):
    """A UTF-8 file of lines `label TAB text`, without a header; the labels are any words.

    path: the training texts; val and test are drawn from them unless they have files of their own.
    val_path, test_path: those files, of the same form; their labels must occur in `path`.
    """

    def __init__(self, path: str, val_path: str | None = None, test_path: str | None = None, **common: Any) -> None:
        super().__init__(**common)
        paths = {"train": path, "val": val_path, "test": test_path}
        self.paths = {split: Path(name).expanduser() for split, name in paths.items() if name is not None}

    def read_texts(self) -> tuple[Mapping[str, LabelledTexts], tuple[str, ...]]:
        rows = {split: _read_rows(path) for split, path in self.paths.items()}
        class_names = tuple(sorted({label for _, label, _ in rows["train"]}))
        class_index = {label: index for index, label in enumerate(class_names)}
        splits = {}
        for split, path in self.paths.items():
            labels = torch.tensor([_look_up(label, class_index, path, line) for line, label, _ in rows[split]])
            splits[split] = LabelledTexts([text for _, _, text in rows[split]], labels)
        return splits, class_names


def _read_rows(path: Path) -> list[tuple[int, str, str]]:
    """`(line number, label, text)` of each line that is not blank."""
    rows = []
    for number, line in read_lines(path):
        label, tab, text = line.partition("\t")
        if not tab:
            raise UserError(f"{path} line {number}: found {line[:40]!r}, expected a label, one TAB and the text")
        rows.append((number, label.strip(), text.strip()))
    if not rows:
        raise UserError(f"{path}: the file holds no text, expected lines of a label, one TAB and the text")
    return rows


def _look_up(label: str, class_index: Mapping[str, int], path: Path, line: int) -> int:
    if label not in class_index:
        raise UserError(f"{path} line {line}: label {label!r} is not in the training file{nearest(label, class_index)}")
    return class_index[label]
