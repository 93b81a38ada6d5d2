"""Lines of text with a class each, as a DataModule."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tenfold.data.base import DataModule, Split
from tenfold.data.labels import check_classes, check_fractions, majority_baseline, stratified
from tenfold.data.text.ragged import RaggedTexts
from tenfold.data.text.spec import TextSpec
from tenfold.data.text.tokenizers import TOKENIZERS, TokenizerName, check_tokenizer, suited_tokenizer
from tenfold.data.text.vector_files import load_vectors
from tenfold.data.text.vectors import WordVectors
from tenfold.data.text.vocabulary import Vocabulary
from tenfold.errors import UserError

log = logging.getLogger(__name__)


class LabelledTexts(NamedTuple):
    """Texts and the index of the class of each, `[texts]`."""

    texts: list[str]
    labels: Tensor

    def take(self, indices: Tensor) -> LabelledTexts:
        return LabelledTexts([self.texts[index] for index in indices.tolist()], self.labels[indices])


class TextData(DataModule):
    """Texts as token indices, in batches of like length; the vocabulary is that of the training split.

    A subclass implements `read_texts()`. Where that gives no val or no test, the split is drawn from train: stratified
    by class, seeded by `split_seed`, its fraction being of all that train held (0 for no such split). Duplicates go
    before (see `deduplicated`), or else copies of one text would stand in train and in test.

    tokenizer: words, characters, or auto: by the script of the training texts.
    min_count, max_size: tokens rarer than the one, or beyond the other, are unknown; `max_size` null for no limit.
    max_length: tokens of a text that are kept, the first ones.
    vectors: trained vectors of tokens that the network's embedding begins with, a file of word2vec or GloVe; the tokens
        that it has are known even where training lacks them.
    The other arguments are those of `DataModule`.
    """

    spec_class = TextSpec
    spec: TextSpec

    def __init__(
        self,
        tokenizer: TokenizerName = "auto",
        min_count: int = 2,
        max_size: int | None = None,
        max_length: int = 400,
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        deduplicate: bool = True,
        vectors: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        check_tokenizer(tokenizer)
        if max_length < 1:
            raise UserError(f"data.max_length: found {max_length}, expected at least 1")
        if max_size is not None and max_size < 3:
            raise UserError(f"data.max_size: found {max_size}, expected null or at least 3 (2 are reserved)")
        check_fractions(val_fraction, test_fraction)
        self.tokenizer = tokenizer
        self.min_count, self.max_size, self.max_length = min_count, max_size, max_length
        self.val_fraction, self.test_fraction, self.deduplicate = val_fraction, test_fraction, deduplicate
        self.vectors: WordVectors | None = load_vectors(Path(vectors).expanduser()) if vectors else None

    def read_texts(self) -> tuple[Mapping[str, LabelledTexts], tuple[str, ...]]:
        """The splits that have data of their own, train at least, and the class names."""
        raise NotImplementedError

    def load(self) -> None:
        given, class_names = self.read_texts()
        self.texts = self._split(given)
        train = self.texts["train"]
        check_classes(train.labels, class_names)
        self.spec = self._build_spec(train.texts, class_names)
        self.splits = {
            split: RaggedTexts(map(self.spec.encode, part.texts), part.labels) for split, part in self.texts.items()
        }

    def _split(self, given: Mapping[str, LabelledTexts]) -> dict[str, LabelledTexts]:
        parts, train = dict(given), given["train"]
        if self.deduplicate and not {"val", "test"} <= given.keys():
            train = deduplicated(train)
        total = len(train.texts)
        for split, fraction in (("test", self.test_fraction), ("val", self.val_fraction)):
            if split not in given and fraction > 0:
                rest, drawn = stratified(train.labels, fraction * total / max(len(train.texts), 1), self.split_seed)
                parts[split], train = train.take(drawn), train.take(rest)
        return parts | {"train": train}

    def _build_spec(self, texts: list[str], class_names: tuple[str, ...]) -> TextSpec:
        tokenizer = suited_tokenizer(texts) if self.tokenizer == "auto" else self.tokenizer
        vocabulary = Vocabulary.build(map(TOKENIZERS[tokenizer], texts), self.min_count, self.max_size)
        tokens = vocabulary.tokens
        if self.vectors is not None:
            tokens = tuple(dict.fromkeys((*tokens, *self.vectors.words)))[: self.max_size]
        return TextSpec(class_names, tokenizer, tokens, self.max_length)

    def labels(self, split: Split) -> Tensor:
        """The class of every text of a split, `[texts]`."""
        return self.texts[split].labels

    def baseline(self, split: Split) -> dict[str, float]:
        return majority_baseline(self.labels("train"), self.labels(split))

    def example(self, split: Split, index: int) -> str:
        return self.texts[split].texts[index]


def deduplicated(data: LabelledTexts) -> LabelledTexts:
    """Each text once; not at all where it stands with different classes."""
    first: dict[str, int] = {}
    conflicting: set[str] = set()
    labels = data.labels.tolist()
    for index, text in enumerate(data.texts):
        if labels[first.setdefault(text, index)] != labels[index]:
            conflicting.add(text)
    kept = [index for text, index in first.items() if text not in conflicting]
    if len(kept) < len(data.texts):
        log.info("data: %d of %d texts are left without duplicates (data.deduplicate)", len(kept), len(data.texts))
    return data.take(torch.tensor(kept, dtype=torch.long))
