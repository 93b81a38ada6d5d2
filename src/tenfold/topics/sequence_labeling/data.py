"""Tagged sentences as a DataModule; the sources are in `sources`."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tenfold.data.base import DataModule, Split
from tenfold.data.text.vector_files import load_vectors
from tenfold.data.text.vocabulary import PADDING, UNKNOWN, Vocabulary
from tenfold.errors import UserError, nearest
from tenfold.topics.sequence_labeling.columns import COLUMNS, Unit, check_tokenizer, columns_of
from tenfold.topics.sequence_labeling.lexicon import check_lexicon, collect
from tenfold.topics.sequence_labeling.schemes import SCHEMES
from tenfold.topics.sequence_labeling.spans import OUTSIDE, SpanCounts, extract, split_tag
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

    def __init__(
        self, sentences: Sequence[Sentence], spec: TaggingSpec, known: Sequence[Collection[str]] | None = None
    ) -> None:
        self.lengths = torch.tensor([len(sentence.tokens) for sentence in sentences], dtype=torch.long)
        self.starts = self.lengths.cumsum(0) - self.lengths
        padding = torch.zeros(1, spec.width, dtype=torch.int32)  # the last row, from which all padding is copied
        self.inputs = torch.cat([spec.encode(*(sentence.tokens for sentence in sentences), known=known), padding])
        tags = spec.encode_tags(chain.from_iterable(sentence.tags for sentence in sentences))
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

    A subclass implements `read_sentences()`.

    scheme: iob2 or bioes, what tags of spans are told in; null: the tags are plain labels, and stay as they are.
    tokenizer: how prediction cuts a raw line: words (letters apart from signs), spaces, or characters.
    min_count: strings that occur less often in a column are unknown.
    max_characters: letters of a word that are shown one by one, the first ones; 0 for none.
    max_length: tokens; a longer sentence is cut, outside of its spans where it can be.
    vectors: pretrained word vectors, a file of word2vec or GloVe.
    lexicon_parts: a token is also shown the training spans that it may be in; in training, those of all parts but its
        own, of so many; 0 for none.
    """

    spec_class = TaggingSpec
    spec: TaggingSpec

    def __init__(
        self,
        unit: Unit = "word",
        scheme: str | None = "bioes",
        tokenizer: str = "words",
        min_count: int = 2,
        max_characters: int = 16,
        max_length: int = 1000,
        vectors: str | None = None,
        lexicon_parts: int = 0,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        check_tokenizer(tokenizer)
        check_choice("data.unit", unit, list(COLUMNS))
        if scheme is not None and scheme not in SCHEMES[1:]:
            raise UserError(
                f"data.scheme: found {scheme!r}, expected iob2, bioes or null{nearest(scheme, SCHEMES[1:])}"
            )
        if max_length < 1:
            raise UserError(f"data.max_length: found {max_length}, expected at least 1 token")
        check_lexicon(lexicon_parts, scheme)
        self.lexicon_parts = lexicon_parts
        self.unit, self.scheme, self.tokenizer = unit, scheme, tokenizer
        self.min_count, self.max_characters, self.max_length = min_count, max_characters, max_length
        self.vectors = load_vectors(Path(vectors)) if vectors else None

    def read_sentences(self) -> dict[str, list[Sentence]]:
        """The splits, train at least; none of the sentences is empty."""
        raise NotImplementedError

    def load(self) -> None:
        self.sentences = {split: self._cut(part, split) for split, part in self.read_sentences().items()}
        if not self.sentences["train"]:
            raise UserError("data: the train split is empty, expected at least one sentence")
        lexicon, known = collect(self.sentences["train"], self.lexicon_parts)
        self.spec = self._build_spec(self.sentences["train"], lexicon, known)
        self.splits = {
            split: TaggedSentences(part, self.spec, known if split == "train" else None)
            for split, part in self.sentences.items()
        }

    def _cut(self, sentences: list[Sentence], split: str) -> list[Sentence]:
        """No sentence longer than `max_length`, so that no batch outgrows the memory."""
        parts = [part for sentence in sentences for part in cut_sentence(sentence, self.max_length, bool(self.scheme))]
        if len(parts) > len(sentences):
            log.warning("data: sentences of %s longer than %d tokens were cut", split, self.max_length)
        return parts

    def _build_spec(
        self,
        train: Sequence[Sentence],
        lexicon: Collection[str] = (),
        known: Sequence[Collection[str]] | None = None,
    ) -> TaggingSpec:
        columns: dict[str, list[str]] = defaultdict(list)
        for sentence, others in zip(train, known or repeat(None), strict=False):
            for name, column in columns_of(self.unit, sentence.tokens, others).items():
                columns[name] += column
        letters: tuple[str, ...] = ()
        if self.unit != "character" and self.max_characters:
            letters = Vocabulary.build((token for sentence in train for token in sentence.tokens), 2).tokens
        return TaggingSpec(
            tags=self._all_tags({tag for sentence in train for tag in sentence.tags}),
            scheme=self.scheme,
            unit=self.unit,
            tokenizer=self.tokenizer,
            vocabularies=tuple(Vocabulary.build([column], self.min_count).tokens for column in columns.values()),
            characters=letters,
            max_characters=self.max_characters if letters else 0,
            vector_words=(PADDING, UNKNOWN, *self.vectors.words) if self.vectors else (),
            vector_dim=self.vectors.matrix.shape[1] if self.vectors else 0,
            lexicon=tuple(sorted(lexicon)),
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
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for sentence in self.sentences["train"]:
            for token, tag in zip(sentence.tokens, sentence.tags, strict=True):
                counts[token][tag] += 1
        overall = Counter[str]()
        for tags in counts.values():
            overall.update(tags)
        best = {token: tags.most_common(1)[0][0] for token, tags in counts.items()}
        usual = overall.most_common(1)[0][0]
        guessed = [[best.get(token, usual) for token in sentence.tokens] for sentence in self.sentences[split]]
        return scores_of(guessed, [sentence.tags for sentence in self.sentences[split]], self.scheme is not None)

    def example(self, split: Split, index: int) -> str:
        return ("" if self.unit == "character" else " ").join(self.sentences[split][index].tokens)


def check_choice(key: str, found: object, known: Sequence[str]) -> None:
    """Raise `UserError` unless `found` is one of them."""
    if found not in known:
        raise UserError(f"{key}: found {found!r}, expected {' or '.join(known)}{nearest(str(found), known)}")


def cut_sentence(sentence: Sentence, longest: int, spans: bool) -> Iterable[Sentence]:
    """Pieces of at most `longest` tokens; with `spans`, none is cut in two unless it is half as long as that."""
    if len(sentence.tokens) <= longest:
        yield sentence
        return
    inside = {i for span in extract(sentence.tags) for i in range(span.start + 1, span.stop)} if spans else set()
    begin, length = 0, len(sentence.tokens)
    while begin < length:
        stop = min(begin + longest, length)
        if stop < length:
            stop = next((i for i in range(stop, begin + longest // 2, -1) if i not in inside), stop)
        yield Sentence(sentence.tokens[begin:stop], sentence.tags[begin:stop])
        begin = stop


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
