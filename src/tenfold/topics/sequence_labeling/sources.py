"""Where tagged sentences come from: column files, CoNLL-U, role columns, the People's Daily."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch

from tenfold.data.labels import check_fractions
from tenfold.data.text.conll import read_conll
from tenfold.data.text.conllu import FIELDS, read_conllu
from tenfold.data.text.people_daily import name_spans, read_documents
from tenfold.errors import UserError
from tenfold.topics.sequence_labeling.data import Sentence, TaggingData, check_choice
from tenfold.topics.sequence_labeling.roles import propositions
from tenfold.topics.sequence_labeling.schemes import convert, detect, encode, violations
from tenfold.topics.sequence_labeling.spans import OUTSIDE, Span

log = logging.getLogger(__name__)


class TaggedFiles(TaggingData):
    """Files of your own: `train`, `val` and, if given, `test`. A subclass implements `read(path)`.

    illegal: tags that their own scheme forbids: repair, or refuse.
    """

    def __init__(
        self,
        train: str,
        val: str,
        test: str | None = None,
        illegal: Literal["repair", "refuse"] = "repair",
        **tagging: Any,
    ) -> None:
        super().__init__(**tagging)
        check_choice("data.illegal", illegal, ("repair", "refuse"))
        self.paths = {"train": train, "val": val} | ({"test": test} if test else {})
        self.illegal = illegal

    def read(self, path: Path) -> Iterator[Sentence]:
        """The sentences of one file."""
        raise NotImplementedError

    def read_sentences(self) -> dict[str, list[Sentence]]:
        found = {split: list(self.read(Path(path))) for split, path in self.paths.items()}
        for split, sentences in found.items():
            if not sentences:
                raise UserError(f"data.{split}: {self.paths[split]} has no sentence, expected at least one")
        return uniform(found, self.scheme, self.illegal)


class Conll(TaggedFiles):
    """Column files: one token a line, a blank line between sentences.

    token_column, tag_column: their numbers from 0; negative ones count from the last.
    """

    def __init__(self, token_column: int = 0, tag_column: int = -1, **files: Any) -> None:
        super().__init__(**files)
        self.token_column, self.tag_column = token_column, tag_column

    def read(self, path: Path) -> Iterator[Sentence]:
        for rows in read_conll(path):
            check_columns(rows, path, token_column=self.token_column, tag_column=self.tag_column)
            yield Sentence([row[self.token_column] for row in rows], [row[self.tag_column] for row in rows])


class Roles(TaggedFiles):
    """Semantic roles in the columns of CoNLL-2005 and 2012: the predicate is given, each one makes an example.

    The predicate stands in brackets among the tokens, in training as in prediction: `She [gave] him a book`.

    token_column, predicate_column: their numbers; in the latter stands `-` beside all but predicates.
    roles_column: the first one with brackets such as `(A0*`; as many follow as the sentence has predicates.
    """

    def __init__(
        self, token_column: int = 0, predicate_column: int = 1, roles_column: int = 2, unit: str = "role", **files: Any
    ) -> None:
        super().__init__(unit=unit, **files)
        self.token_column, self.predicate_column, self.roles_column = token_column, predicate_column, roles_column

    def read(self, path: Path) -> Iterator[Sentence]:
        for rows in read_conll(path, ragged=True):
            check_columns(rows, path, token_column=self.token_column, predicate_column=self.predicate_column)
            tokens = [row[self.token_column] for row in rows]
            predicates = [i for i, row in enumerate(rows) if row[self.predicate_column] not in ("-", "_")]
            columns = [row[self.roles_column :] for row in rows]
            for at, spans in propositions(columns, predicates, f"{path}: {' '.join(tokens)[:60]!r}"):
                shown = [*tokens[:at], f"[{tokens[at]}]", *tokens[at + 1 :]]
                yield Sentence(shown, encode(spans, len(tokens), "bioes"))


class ConllU(TaggedFiles):
    """Treebanks of Universal Dependencies: `field` is upos, xpos or feats (all features as one label)."""

    def __init__(self, field: Literal["upos", "xpos", "feats"] = "upos", **files: Any) -> None:
        check_choice("data.field", field, ("upos", "xpos", "feats"))
        super().__init__(**files)
        self.column = FIELDS.index(field)

    def read(self, path: Path) -> Iterator[Sentence]:
        for rows in read_conllu(path):
            yield Sentence([row[FIELDS.index("form")] for row in rows], [row[self.column] for row in rows])


def uniform(
    sentences: dict[str, list[Sentence]], scheme: str | None, illegal: Literal["repair", "refuse"] = "repair"
) -> dict[str, list[Sentence]]:
    """Span tags of IOB1, IOB2 or BIOES, told in `scheme`.

    They are written as the training split's, or a split in a scheme of its own where that forbids less of it. Steps
    that it forbids all the same are repaired by conlleval's reading and counted, or refused. Without a scheme
    tags stay as they are.
    """
    if scheme is None:
        return sentences
    written = detect([sentence.tags for sentence in sentences["train"]])
    if written is None:
        found = next((tag for s in sentences["train"] for tag in s.tags if tag != OUTSIDE), OUTSIDE)
        raise UserError(f"data.scheme: the tags mark no spans (found {found!r}), expected null for plain labels")
    for split, part in sentences.items():
        wrong, own = _illegal(part, written), written
        if wrong and (other := detect([sentence.tags for sentence in part])):
            wrong, own = min((wrong, own), (_illegal(part, other), other), key=lambda found: len(found[0]))
        if wrong and illegal == "refuse":
            raise UserError(f"data.illegal: {_told(wrong[0], own)} (and {len(wrong) - 1} more); expected repair")
        if wrong:
            log.warning("data: %d sentences of %s with tags that %s forbids were repaired", len(wrong), split, own)
    return {split: [Sentence(s.tokens, convert(s.tags, scheme)) for s in part] for split, part in sentences.items()}


def _illegal(sentences: Sequence[Sentence], written: str) -> list[Sentence]:
    return [sentence for sentence in sentences if violations(sentence.tags, written)]


def _told(sentence: Sentence, written: str) -> str:
    at = min(violations(sentence.tags, written)[0], len(sentence.tags) - 1)
    return f"{sentence.tags[at]} at {sentence.tokens[at]!r} breaks {written} in {' '.join(sentence.tokens)[:60]!r}"


def check_columns(rows: Sequence[Sequence[str]], path: Path, **columns: int) -> None:
    """Raise `UserError` where a column's number is none of the file's."""
    for key, column in columns.items():
        if not -len(rows[0]) <= column < len(rows[0]):
            raise UserError(f"data.{key}: found {column}, but {path} has {len(rows[0])} columns")


class PeopleDaily(TaggingData):
    """A month of a Chinese newspaper, 1.1 million words: `task` is segmentation, names, or pos.

    Segmentation and names tag characters; parts of speech are those of given words. The split is drawn by document (see
    `people_daily.read_documents`), seeded by `split_seed`; a fraction of 0 for no such split.

    max_documents: how many are read, the first ones; null for all.
    """

    def __init__(
        self,
        task: Literal["segmentation", "names", "pos"],
        val_fraction: float = 0.05,
        test_fraction: float = 0.1,
        max_documents: int | None = None,
        **tagging: Any,
    ) -> None:
        check_choice("data.task", task, list(TASKS))
        check_fractions(val_fraction, test_fraction)
        super().__init__(**tagging)
        self.task, self.val_fraction, self.test_fraction = task, val_fraction, test_fraction
        self.max_documents = max_documents

    def read_sentences(self) -> dict[str, list[Sentence]]:
        documents = list(islice(read_documents(), self.max_documents))
        order = torch.randperm(len(documents), generator=torch.Generator().manual_seed(self.split_seed)).tolist()
        test, val = (round(fraction * len(order)) for fraction in (self.test_fraction, self.val_fraction))
        parts = {"test": order[:test], "val": order[test : test + val], "train": order[test + val :]}
        return {
            split: [TASKS[self.task](words, self.scheme or "bioes") for i in sorted(part) for words in documents[i]]
            for split, part in parts.items()
            if part or split == "train"
        }


def _segmented(words: list[tuple[str, str]], scheme: str) -> Sentence:
    spans, position = [], 0
    for word, _ in words:
        spans.append(Span(position, position + len(word), ""))
        position += len(word)
    return Sentence(list("".join(word for word, _ in words)), encode(spans, position, scheme))


def _named(words: list[tuple[str, str]], scheme: str) -> Sentence:
    letters = list("".join(word for word, _ in words))
    return Sentence(letters, encode([Span(*span) for span in name_spans(words)], len(letters), scheme))


def _parts_of_speech(words: list[tuple[str, str]], scheme: str) -> Sentence:
    return Sentence([word for word, _ in words], [tag for _, tag in words])


TASKS = {"segmentation": _segmented, "names": _named, "pos": _parts_of_speech}
