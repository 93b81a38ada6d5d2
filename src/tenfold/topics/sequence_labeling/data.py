"""Tagged sentences as a DataModule: column files, and the People's Daily cut into three tasks."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from tenfold.data.base import DataModule, Split
from tenfold.data.labels import check_fraction
from tenfold.data.text.conll import read_conll
from tenfold.data.text.people_daily import name_spans, read_documents
from tenfold.data.text.vocabulary import Vocabulary
from tenfold.errors import UserError, nearest
from tenfold.topics.sequence_labeling.columns import COLUMNS, Unit, check_tokenizer
from tenfold.topics.sequence_labeling.schemes import SCHEMES, convert, detect, encode, violations
from tenfold.topics.sequence_labeling.spans import OUTSIDE, Span, SpanCounts, extract, split_tag
from tenfold.topics.sequence_labeling.spec import TaggingSpec

log = logging.getLogger(__name__)

NO_TAG = -1  # the tag of padding


class Sentence(NamedTuple):
    """Tokens, and a tag for each."""

    tokens: list[str]
    tags: list[str]


class TaggedBatch(NamedTuple):
    """Indices `[batch, time, width]` of `TaggingSpec.encode`, and tags `[batch, time]`, `NO_TAG` on padding."""

    inputs: Tensor
    tags: Tensor


class TaggedSentences:
    """A data set of sentences end to end; `fetch` pads to the longest of the batch."""

    def __init__(self, sentences: Sequence[Sentence], spec: TaggingSpec) -> None:
        self.lengths = torch.tensor([len(sentence.tokens) for sentence in sentences], dtype=torch.long)
        self.starts = self.lengths.cumsum(0) - self.lengths
        padding = torch.zeros(1, spec.width, dtype=torch.int32)  # the last row, from which all padding is copied
        self.inputs = torch.cat([*(spec.encode(sentence.tokens) for sentence in sentences), padding])
        tags = chain.from_iterable(spec.encode_tags(sentence.tags) for sentence in sentences)
        self.tags = torch.tensor([*tags, NO_TAG], dtype=torch.int32)

    def __len__(self) -> int:
        return len(self.lengths)

    def fetch(self, indices: Tensor) -> TaggedBatch:
        """Both parts in int64."""
        lengths = self.lengths[indices].unsqueeze(1)
        steps = torch.arange(int(lengths.max()) if len(indices) else 0)
        rows = (self.starts[indices].unsqueeze(1) + steps).masked_fill_(steps >= lengths, len(self.tags) - 1)
        return TaggedBatch(self.inputs[rows].long(), self.tags[rows].long())


class TaggingData(DataModule):
    """Sentences with tags in three splits. Every vocabulary is that of the training split.

    A subclass implements `read_sentences()`. Tags of spans, in whatever of IOB1, IOB2 and BIOES they come, are
    converted to `scheme`; steps that their own scheme forbids are repaired by conlleval's reading and counted, or
    refused.

    scheme: iob2 or bioes; null: the tags are plain labels, and stay as they are.
    illegal: repair, or refuse.
    tokenizer: how prediction cuts a raw line: words (letters apart from signs), spaces, or characters.
    min_count: strings that occur less often in a column are unknown.
    max_characters: letters of a word that are shown one by one, the first ones; 0 for none.
    """

    spec_class = TaggingSpec
    spec: TaggingSpec

    def __init__(
        self,
        unit: Unit = "word",
        scheme: str | None = "bioes",
        illegal: Literal["repair", "refuse"] = "repair",
        tokenizer: str = "words",
        min_count: int = 2,
        max_characters: int = 16,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        check_tokenizer(tokenizer)
        for key, value, known in (("unit", unit, COLUMNS), ("illegal", illegal, ("repair", "refuse"))):
            if value not in known:
                raise UserError(f"data.{key}: found {value!r}, expected {' or '.join(known)}{nearest(value, known)}")
        if scheme is not None and scheme not in SCHEMES[1:]:
            raise UserError(
                f"data.scheme: found {scheme!r}, expected iob2, bioes or null{nearest(scheme, SCHEMES[1:])}"
            )
        self.unit, self.scheme, self.illegal, self.tokenizer = unit, scheme, illegal, tokenizer
        self.min_count, self.max_characters = min_count, max_characters

    def read_sentences(self) -> dict[str, list[Sentence]]:
        """The splits, train at least."""
        raise NotImplementedError

    def load(self) -> None:
        self.sentences = self.read_sentences()
        if self.scheme is not None:
            written = detect([sentence.tags for sentence in self.sentences["train"]])
            if written is None:
                found = next((tag for s in self.sentences["train"] for tag in s.tags if tag != OUTSIDE), OUTSIDE)
                raise UserError(
                    f"data.scheme: the tags mark no spans (found {found!r}), expected null for plain labels"
                )
            self.sentences = {split: self._converted(part, written) for split, part in self.sentences.items()}
        self.spec = self._build_spec(self.sentences["train"])
        self.splits = {split: TaggedSentences(part, self.spec) for split, part in self.sentences.items()}

    def _converted(self, sentences: list[Sentence], written: str) -> list[Sentence]:
        wrong = [(sentence, found) for sentence in sentences if (found := violations(sentence.tags, written))]
        if wrong and self.illegal == "refuse":
            sentence, positions = wrong[0]
            at = min(positions[0], len(sentence.tags) - 1)
            raise UserError(
                f"data.illegal: {sentence.tags[at]} at {sentence.tokens[at]!r} breaks {written} in "
                f"{' '.join(sentence.tokens)[:60]!r} (and {len(wrong) - 1} more sentences); expected repair"
            )
        if wrong:
            log.warning("data: %d sentences with tags that %s forbids were repaired", len(wrong), written)
        assert self.scheme is not None
        return [Sentence(sentence.tokens, convert(sentence.tags, self.scheme)) for sentence in sentences]

    def _build_spec(self, train: Sequence[Sentence]) -> TaggingSpec:
        columns: dict[str, list[Iterable[str]]] = defaultdict(list)
        for sentence in train:
            for name, column in COLUMNS[self.unit](sentence.tokens).items():
                columns[name].append(column)
        letters: tuple[str, ...] = ()
        if self.unit == "word" and self.max_characters:
            letters = Vocabulary.build((token for sentence in train for token in sentence.tokens), 2).tokens
        return TaggingSpec(
            tags=self._all_tags({tag for sentence in train for tag in sentence.tags}),
            scheme=self.scheme,
            unit=self.unit,
            tokenizer=self.tokenizer,
            vocabularies=tuple(Vocabulary.build(column, self.min_count).tokens for column in columns.values()),
            characters=letters,
            max_characters=self.max_characters if letters else 0,
        )

    def _all_tags(self, seen: set[str]) -> tuple[str, ...]:
        """The training tags in order; for spans, every prefix with every type, so that any span can be told."""
        if self.scheme is None:
            return tuple(sorted(seen))
        prefixes = "BI" if self.scheme == "iob2" else "BIES"
        types = sorted({split_tag(tag)[1] for tag in seen - {OUTSIDE}})
        spans = [f"{prefix}-{kind}" if kind else prefix for kind in types for prefix in prefixes]
        return (*([OUTSIDE] if OUTSIDE in seen else []), *spans)

    def baseline(self, split: Split) -> dict[str, float]:
        """Each known word's most frequent training tag, the most frequent of all for the rest."""
        train = self.sentences["train"]
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for sentence in train:
            for token, tag in zip(sentence.tokens, sentence.tags, strict=True):
                counts[token][tag] += 1
        overall = sum(counts.values(), Counter()).most_common(1)[0][0]
        best = {token: tags.most_common(1)[0][0] for token, tags in counts.items()}
        guessed = [[best.get(token, overall) for token in sentence.tokens] for sentence in self.sentences[split]]
        return scores_of(guessed, [sentence.tags for sentence in self.sentences[split]], self.scheme is not None)

    def example(self, split: Split, index: int) -> str:
        return ("" if self.unit == "character" else " ").join(self.sentences[split][index].tokens)


def scores_of(guessed: Sequence[Sequence[str]], gold: Sequence[Sequence[str]], spans: bool) -> dict[str, float]:
    """Token accuracy, and span F1 by conlleval's rules where the tags mark spans."""
    pairs = [(g, w) for g_tags, w_tags in zip(guessed, gold, strict=True) for g, w in zip(g_tags, w_tags, strict=True)]
    scores = {"accuracy": sum(g == w for g, w in pairs) / max(len(pairs), 1)}
    if spans:
        counts = SpanCounts()
        for g_tags, w_tags in zip(guessed, gold, strict=True):
            counts.add(extract(g_tags), extract(w_tags))
        scores["f1"] = counts.score().f1
    return scores


class Conll(TaggingData):
    """Column files of your own: `train`, `val` and `test`, one token a line, a blank line between sentences.

    token_column, tag_column: their numbers from 0; negative ones count from the last.
    """

    def __init__(
        self,
        train: str,
        val: str,
        test: str | None = None,
        token_column: int = 0,
        tag_column: int = -1,
        **tagging: Any,
    ) -> None:
        super().__init__(**tagging)
        self.paths = {"train": train, "val": val} | ({"test": test} if test else {})
        self.token_column, self.tag_column = token_column, tag_column

    def read_sentences(self) -> dict[str, list[Sentence]]:
        return {split: self._read(Path(path)) for split, path in self.paths.items()}

    def _read(self, path: Path) -> list[Sentence]:
        sentences = []
        for rows in read_conll(path):
            for key, column in (("token_column", self.token_column), ("tag_column", self.tag_column)):
                if not -len(rows[0]) <= column < len(rows[0]):
                    raise UserError(f"data.{key}: found {column}, but {path} has {len(rows[0])} columns")
            sentences.append(Sentence([row[self.token_column] for row in rows], [row[self.tag_column] for row in rows]))
        return sentences


class PeopleDaily(TaggingData):
    """A month of a Chinese newspaper, 1.1 million words: `task` is segmentation, names, or pos.

    Segmentation and names tag characters; parts of speech are those of given words. The split is drawn by document (see
    `people_daily.read_documents`), seeded by `split_seed`.
    """

    def __init__(
        self,
        task: Literal["segmentation", "names", "pos"],
        val_fraction: float = 0.05,
        test_fraction: float = 0.1,
        **tagging: Any,
    ) -> None:
        if task not in TASKS:
            raise UserError(f"data.task: found {task!r}, expected {', '.join(TASKS)}{nearest(task, TASKS)}")
        for key, fraction in (("val_fraction", val_fraction), ("test_fraction", test_fraction)):
            check_fraction(f"data.{key}", fraction)
        super().__init__(**tagging)
        self.task, self.val_fraction, self.test_fraction = task, val_fraction, test_fraction

    def read_sentences(self) -> dict[str, list[Sentence]]:
        documents = list(read_documents())
        order = torch.randperm(len(documents), generator=torch.Generator().manual_seed(self.split_seed)).tolist()
        test, val = (round(fraction * len(order)) for fraction in (self.test_fraction, self.val_fraction))
        parts = {"test": order[:test], "val": order[test : test + val], "train": order[test + val :]}
        return {
            split: [TASKS[self.task](words) for i in sorted(part) for words in documents[i]]
            for split, part in parts.items()
        }


def _segmented(words: list[tuple[str, str]]) -> Sentence:
    spans, position = [], 0
    for word, _ in words:
        spans.append(Span(position, position + len(word), ""))
        position += len(word)
    return Sentence(list("".join(word for word, _ in words)), encode(spans, position, "bioes"))


def _named(words: list[tuple[str, str]]) -> Sentence:
    letters = list("".join(word for word, _ in words))
    return Sentence(letters, encode([Span(*span) for span in name_spans(words)], len(letters), "bioes"))


def _parts_of_speech(words: list[tuple[str, str]]) -> Sentence:
    return Sentence([word for word, _ in words], [tag for _, tag in words])


TASKS = {"segmentation": _segmented, "names": _named, "pos": _parts_of_speech}
