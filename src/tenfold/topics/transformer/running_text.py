"""Running text by characters, of which a language model learns the next one."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tenfold.data.base import DataModule, Split
from tenfold.data.labels import check_fractions
from tenfold.data.text.corpus import find_texts, text_lines
from tenfold.data.text.vocabulary import PADDING, UNKNOWN
from tenfold.errors import UserError
from tenfold.topics.transformer.kneser_ney import kneser_ney_nats
from tenfold.topics.transformer.spec import CharacterSpec, vocabulary


class Blocks(NamedTuple):
    """Stretches of text `[batch, block + 1]`: each character but the first is to be predicted from those before it.

    context: how many of those only lead up to the ones that count, `[batch]`.
    """

    tokens: Tensor
    context: Tensor


class BlockDataset:
    """Blocks of a text's tokens `[tokens]` that begin at `starts` `[blocks]`."""

    def __init__(self, tokens: Tensor, starts: Tensor, context: Tensor, block: int) -> None:
        self.tokens, self.starts, self.context = tokens, starts, context
        self.steps = torch.arange(block + 1)

    def __len__(self) -> int:
        return len(self.starts)

    def fetch(self, indices: Tensor) -> Blocks:
        return Blocks(self.tokens[self.starts[indices].unsqueeze(1) + self.steps].long(), self.context[indices])


class CharacterData(DataModule):
    """A text in blocks; its last part is test, the part before that val: text to come, as a model would meet it.

    A subclass implements `read_texts()`.

    In training the blocks overlap, one beginning every `stride` characters. In evaluation each character counts once
    and has at least `context` before it, those of the split before where need be.

    block: characters of a block.
    min_count: characters that occur less often in training are unknown.
    order: of the n-gram model (Kneser–Ney) that stands beside as the baseline; 0: none.
    The other arguments are those of `DataModule`.
    """

    spec_class = CharacterSpec
    spec: CharacterSpec

    def __init__(
        self,
        block: int = 256,
        stride: int = 64,
        context: int = 128,
        min_count: int = 2,
        val_fraction: float = 0.05,
        test_fraction: float = 0.1,
        order: int = 5,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        for key, value, least in (("block", block, 1), ("stride", stride, 1), ("order", order, 0)):
            if value < least:
                raise UserError(f"data.{key}: found {value}, expected at least {least}")
        if not 0 <= context < block:
            raise UserError(f"data.context: found {context}, expected 0 to {block - 1}, less than data.block")
        self.fractions = {"val": val_fraction, "test": test_fraction}
        check_fractions(val_fraction, test_fraction)
        self.block, self.stride, self.context, self.min_count = block, stride, context, min_count
        self.order = order

    def read_texts(self) -> Mapping[str, str]:
        """The text of each split that has one of its own, train at least."""
        raise NotImplementedError

    def load(self) -> None:
        self.texts = self._split(self.read_texts())
        if len(self.texts["train"]) <= self.block:
            raise UserError(
                f"data.block: found {self.block}, but the training text has {len(self.texts['train'])} characters; "
                "expected fewer than those"
            )
        characters = vocabulary([self.texts["train"]], (PADDING, UNKNOWN), self.min_count)
        self.spec = CharacterSpec(characters, self.block)
        self.stream = torch.tensor(self.spec.encode("".join(self.texts.values())), dtype=torch.int32)
        starts = torch.arange(0, len(self.texts["train"]) - self.block, self.stride)
        self.splits = {"train": BlockDataset(self.stream, starts, torch.zeros_like(starts), self.block)}
        for split in ("val", "test"):
            if split in self.texts:
                self.splits[split] = self._measured(*self.span(split))

    def _split(self, given: Mapping[str, str]) -> dict[str, str]:
        """Train, val and test in the order in which they follow each other."""
        parts, train = dict(given), given["train"]
        total = len(train)
        for split in ("test", "val"):
            count = round(self.fractions[split] * total)
            if split not in given and count:
                train, parts[split] = train[:-count], train[-count:]
        parts["train"] = train
        return {split: parts[split] for split in ("train", "val", "test") if split in parts}

    def span(self, split: Split) -> tuple[int, int]:
        """Where in `stream` the split begins and ends."""
        lengths = {name: len(text) for name, text in self.texts.items()}
        start = sum(lengths[name] for name in list(lengths)[: list(lengths).index(split)])
        return start, start + lengths[split]

    def _measured(self, begin: int, end: int) -> BlockDataset:
        """Blocks that predict each of the tokens `begin` to `end` once."""
        firsts = torch.arange(begin, end, self.block - self.context)
        lasts = (firsts + self.block - self.context).clamp(max=end)
        starts = lasts - self.block - 1
        return BlockDataset(self.stream, starts, firsts - starts - 1, self.block)

    def example(self, split: Split, index: int) -> str:
        return self.texts[split][index * self.stride :][: self.block]

    @cached_property
    def _baselines(self) -> dict[str, dict[str, float]]:
        measured: tuple[Split, ...] = ("val", "test")
        return {split: self.kneser_ney(split, self.order) for split in measured if split in self.texts}

    def baseline(self, split: Split) -> dict[str, float]:
        """The n-gram model of order `order`."""
        return self._baselines[split] if self.order else {}

    def kneser_ney(self, split: Split, order: int) -> dict[str, float]:
        """An n-gram model of the training text on a split; before its first character stands the text before it."""
        begin, end = self.span(split)
        train_end = len(self.texts["train"])
        stream = self.stream.numpy().astype(np.int64)
        between = stream[train_end:end]
        nats = kneser_ney_nats(stream[:train_end], between, len(self.spec.characters) - 1, order)[begin - train_end :]
        loss = float(nats.mean())
        return {"loss": loss, "bits_per_character": loss / np.log(2), "perplexity": float(np.exp(loss))}


class PythonReferenceText(CharacterData):
    """Python's language reference, as the standard library carries it (pydoc_data.topics), topic by topic.

    deduplicate: leave out paragraphs that stood before: many topics are parts of others, and a fifth of the text is a
        copy.
    """

    def __init__(self, deduplicate: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.deduplicate = deduplicate

    def read_texts(self) -> Mapping[str, str]:
        topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
        text = "\n\n".join(topics[name] for name in sorted(topics))
        return {"train": without_copies(text) if self.deduplicate else text}


class TextFiles(CharacterData):
    """A text file, or a folder of them in order of their names, plain or gzipped, UTF-8.

    path: the training text; val and test are its last parts unless they have files of their own.
    val_path, test_path: those.
    """

    def __init__(self, path: str, val_path: str | None = None, test_path: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        paths = {"train": path, "val": val_path, "test": test_path}
        self.paths = {split: Path(name).expanduser() for split, name in paths.items() if name is not None}

    def read_texts(self) -> Mapping[str, str]:
        return {split: _read(path) for split, path in self.paths.items()}


def _read(path: Path) -> str:
    text = "\n\n".join("".join(text_lines(file)).strip("\n") for file in find_texts(path))
    if not text.strip():
        raise UserError(f"{path}: holds no text, expected a text file (UTF-8)")
    return text


def without_copies(text: str) -> str:
    """The text without the paragraphs (to the next empty line) that stood in it before."""
    paragraphs = text.split("\n\n")
    first = {paragraph.strip(): index for index, paragraph in reversed(list(enumerate(paragraphs)))}
    return "\n\n".join(p for index, p in enumerate(paragraphs) if not p.strip() or first[p.strip()] == index)
