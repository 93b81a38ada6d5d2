"""How good vectors are: human similarity judgements and analogies, each with the share of questions that the vocabulary
covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from tenfold.data.files import package_file
from tenfold.data.text.vectors import WordVectors
from tenfold.errors import UserError

#: Sets that the package gensim carries in its test data.
PACKAGED = {"wordsim353": "wordsim353.tsv", "simlex999": "simlex999.txt", "analogies": "questions-words.txt"}


@dataclass(frozen=True)
class Score:
    """A score, how many questions it is over, and how many there are; `value` is NaN where fewer than three are
    covered."""

    value: float
    covered: int
    total: int

    @property
    def coverage(self) -> float:
        return self.covered / self.total if self.total else 0.0


def question_file(name: str) -> Path:
    """The path of a set of questions: one of `PACKAGED`, or a file of one's own."""
    return package_file("gensim", "test", "test_data", PACKAGED[name]) if name in PACKAGED else Path(name)


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and line[0] != "#"]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as UTF-8 text ({error})") from error


def read_pairs(path: Path) -> list[tuple[str, str, float]]:
    """Word pairs with a human score, `word TAB word TAB number` a line."""
    pairs = []
    for line in _lines(path):
        fields = line.split("\t")
        try:
            pairs.append((fields[0], fields[1], float(fields[2])))
        except (IndexError, ValueError):
            raise UserError(f"{path}: found {line[:60]!r}, expected word TAB word TAB number") from None
    return pairs


def read_analogies(path: Path) -> dict[str, list[tuple[str, str, str, str]]]:
    """Questions `a b c d` by section; a line `: name` begins one."""
    sections: dict[str, list[tuple[str, str, str, str]]] = {}
    name = "all"
    for line in _lines(path):
        if line.startswith(":"):
            name = line[1:].strip()
            continue
        words = line.split()
        if len(words) != 4:
            raise UserError(f"{path}: found {line[:60]!r}, expected four words")
        sections.setdefault(name, []).append((words[0], words[1], words[2], words[3]))
    return sections


def _known(vectors: WordVectors, word: str) -> str | None:
    """The word as the vocabulary spells it: as it stands, or in lower case."""
    return next((form for form in (word, word.lower()) if form in vectors.index), None)


def similarity_score(vectors: WordVectors, pairs: Sequence[tuple[str, str, float]]) -> Score:
    """Spearman's rank correlation between cosines and human scores."""
    found = [(_known(vectors, a), _known(vectors, b), score) for a, b, score in pairs]
    known = [(vectors.index[a], vectors.index[b], score) for a, b, score in found if a and b]
    if len(known) < 3:
        return Score(float("nan"), len(known), len(pairs))
    first, second, human = zip(*known, strict=True)
    cosine = (vectors.unit[list(first)] * vectors.unit[list(second)]).sum(1).cpu().numpy()
    return Score(float(spearmanr(cosine, human)[0]), len(known), len(pairs))


def analogy_ranks(
    vectors: WordVectors, questions: Sequence[tuple[str, ...]], chunk: int = 256
) -> tuple[NDArray[np.int64], int]:
    """Rank from 0 of the right answer among all words but the question's own (3CosAdd), and how many questions there
    are."""
    found = [[_known(vectors, word) for word in question] for question in questions]
    places = [[vectors.index[word] for word in question if word] for question in found if all(question)]
    known = torch.tensor(places, dtype=torch.long, device=vectors.matrix.device).view(len(places), 4)
    ranks = []
    for a, b, c, answer in (part.unbind(1) for part in known.split(chunk)):
        score = (vectors.unit[b] - vectors.unit[a] + vectors.unit[c]) @ vectors.unit.T
        for asked in (a, b, c):
            score[torch.arange(len(asked)), asked] = -torch.inf
        right = score.gather(1, answer.unsqueeze(1))
        # An answer that is one of the question's own words cannot be given: it ranks last.
        ranks.append(torch.where(right.isinf().squeeze(1), score.shape[1], (score > right).sum(1)))
    return (torch.cat(ranks).cpu().numpy() if ranks else np.zeros(0, np.int64)), len(questions)


def analogy_score(vectors: WordVectors, questions: Sequence[tuple[str, ...]]) -> Score:
    """Share of covered analogies whose answer comes first."""
    ranks, total = analogy_ranks(vectors, questions)
    return Score(float((ranks == 0).mean()) if len(ranks) >= 3 else float("nan"), len(ranks), total)


def evaluate_vectors(vectors: WordVectors, sets: Sequence[str] = tuple(PACKAGED)) -> dict[str, Score]:
    """Scores on named sets; a file whose lines have tabs holds pairs, any other analogies."""
    scores: dict[str, Score] = {}
    for name in sets:
        path = question_file(name)
        if any("\t" in line for line in _lines(path)[:5]):
            scores[name] = similarity_score(vectors, read_pairs(path))
        else:
            questions = [question for section in read_analogies(path).values() for question in section]
            scores[name] = analogy_score(vectors, questions)
    return scores
