"""Pairs of texts, of which a translator makes the second from the first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tenfold.data.base import DataModule, Split
from tenfold.data.labels import check_fractions
from tenfold.data.text.lines import read_lines
from tenfold.data.text.ragged import RaggedTexts
from tenfold.errors import UserError, nearest
from tenfold.topics.transformer.spec import SIGNS, UNITS, PairSpec, Unit, vocabulary

TextPairs = list[tuple[str, str]]


class Pairs(NamedTuple):
    """Source tokens `[batch, source_time]`, up to an end sign, and target tokens `[batch, time]`, from a start sign to
    an end sign; both filled up with padding."""

    source: Tensor
    target: Tensor


class RaggedPairs:
    """A data set of pairs of token indices, fetched in batches that are padded to their longest."""

    def __init__(self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> None:
        unlabelled = torch.zeros(len(sources), dtype=torch.long)
        self.sources, self.targets = RaggedTexts(sources, unlabelled), RaggedTexts(targets, unlabelled)
        self.lengths = self.sources.lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def fetch(self, indices: Tensor) -> Pairs:
        return Pairs(self.sources.fetch(indices).inputs, self.targets.fetch(indices).inputs)


class PairData(DataModule):
    """Pairs as token indices, in batches of like source length; the vocabularies are those of the training split.

    A subclass implements `read_pairs()`.

    unit: what a token is: characters, or words as they stand between spaces.
    min_count: tokens that occur less often are unknown.
    max_length: the most tokens of a source or target; a longer one is refused, as cut it would be another text.
    The other arguments are those of `DataModule`.
    """

    spec_class = PairSpec
    spec: PairSpec

    def __init__(self, unit: Unit = "characters", min_count: int = 1, max_length: int = 200, **common: Any) -> None:
        super().__init__(**common)
        if unit not in UNITS:
            raise UserError(f"data.unit: found {unit!r}, expected {' or '.join(UNITS)}{nearest(unit, UNITS)}")
        if max_length < 1:
            raise UserError(f"data.max_length: found {max_length}, expected at least 1")
        self.unit, self.min_count, self.max_length = unit, min_count, max_length

    def read_pairs(self) -> Mapping[str, TextPairs]:
        """The pairs `(source, target)` of each split."""
        raise NotImplementedError

    def load(self) -> None:
        self.pairs = self.read_pairs()
        cut = UNITS[self.unit][0]
        sources, targets = ([cut(pair[side]) for pair in self.pairs["train"]] for side in (0, 1))
        self.spec = PairSpec(
            vocabulary(sources, SIGNS, self.min_count),
            vocabulary(targets, SIGNS, self.min_count),
            self.unit,
            self.max_length,
            max(map(len, targets), default=0) + 1,
        )
        self.splits = {
            split: RaggedPairs(
                [self.spec.encode_source(source) for source, _ in pairs],
                [self.spec.encode_target(target) for _, target in pairs],
            )
            for split, pairs in self.pairs.items()
        }

    def example(self, split: Split, index: int) -> str:
        return " → ".join(self.pairs[split][index])

    def baseline(self, split: Split) -> dict[str, float]:
        """Always the commonest target of training, and at each place its commonest token."""
        answer = Counter(target for _, target in self.pairs["train"]).most_common(1)[0][0]
        right = sum(target == answer for _, target in self.pairs[split])
        train, measured = (_tokens(self.splits[name]) for name in ("train", split))
        token = train.bincount().argmax()
        return {
            "exact_match": right / len(self.pairs[split]),
            "token_accuracy": float((measured == token).double().mean()),
        }


def _tokens(dataset: Any) -> Tensor:
    """All target tokens that are to be predicted, end signs among them."""
    targets = dataset.targets
    first = torch.zeros_like(targets.tokens, dtype=torch.bool)
    first[targets.starts] = True
    first[-1] = True  # the padding token
    return targets.tokens[~first].long()


class PairTSV(PairData):
    """A UTF-8 file of lines `source TAB target`, without a header.

    path: the training pairs; val and test are drawn from them unless they have files of their own. All pairs of one
        source go to one split.
    val_path, test_path: those files, of the same form.
    val_fraction, test_fraction: of the sources in `path`.
    """

    def __init__(
        self,
        path: str,
        val_path: str | None = None,
        test_path: str | None = None,
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.fractions = {"test": test_fraction, "val": val_fraction}
        check_fractions(val_fraction, test_fraction)
        paths = {"train": path, "val": val_path, "test": test_path}
        self.paths = {split: Path(name).expanduser() for split, name in paths.items() if name is not None}

    def read_pairs(self) -> Mapping[str, TextPairs]:
        given = {split: self._read(path) for split, path in self.paths.items()}
        by_source: dict[str, TextPairs] = {}
        for pair in given["train"]:
            by_source.setdefault(pair[0], []).append(pair)
        sources = list(by_source)
        order = torch.randperm(len(sources), generator=torch.Generator().manual_seed(self.split_seed)).tolist()
        for split, fraction in self.fractions.items():
            if split not in given:
                count = round(fraction * len(sources))
                drawn, order = order[:count], order[count:]
                if drawn:
                    given[split] = [pair for index in drawn for pair in by_source[sources[index]]]
        return given | {"train": [pair for index in sorted(order) for pair in by_source[sources[index]]]}

    def _read(self, path: Path) -> TextPairs:
        pairs, cut = [], UNITS[self.unit][0]
        for number, line in read_lines(path):
            source, tab, target = line.partition("\t")
            if not (tab and source.strip() and target.strip()) or "\t" in target:
                raise UserError(f"{path} line {number}: found {line[:40]!r}, expected a source, one TAB and its target")
            longest = max(len(cut(source.strip())), len(cut(target.strip())))
            if longest > self.max_length:
                raise UserError(
                    f"{path} line {number}: has a text of {longest} {self.unit}, expected at most {self.max_length} "
                    "(data.max_length)"
                )
            pairs.append((source.strip(), target.strip()))
        if not pairs:
            raise UserError(f"{path}: the file holds no pair, expected lines of a source, one TAB and its target")
        return pairs
