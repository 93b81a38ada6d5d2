r"""Translation by a rotation: two embeddings and a seed dictionary (Xing et al. 2015; Artetxe et al. 2016; Conneau et
al. 2018).

Vectors are brought to length 1, centred and brought to length 1 again; then

.. math:: W^* = \arg\min_{W^\top W = I} \lVert X W - Y \rVert_F = U V^\top, \qquad U \Sigma V^\top = \mathrm{svd}(X^\top
Y)

over the rows of the seed dictionary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from tenfold.data.text.vectors import WordVectors
from tenfold.errors import UserError


def prepare(matrix: Tensor, centre: bool = True) -> Tensor:
    """Unit length, then centred and unit length again, [words, channels]."""
    matrix = normalize(matrix, dim=1)
    return normalize(matrix - matrix.mean(0), dim=1) if centre else matrix


def procrustes(source: Tensor, target: Tensor) -> Tensor:
    """The orthogonal matrix [channels, channels] that brings `source` [pairs, channels] nearest to `target`."""
    left, _, right = torch.linalg.svd(source.T @ target)
    return left @ right


def hubness(source: Tensor, target: Tensor, neighbours: int = 10, chunk: int = 1024) -> Tensor:
    """Mean cosine of every target to its nearest sources, [targets]; rows must have length 1."""
    near = [(part @ source.T).topk(min(neighbours, len(source)), dim=1).values.mean(1) for part in target.split(chunk)]
    return torch.cat(near)


def csls(source: Tensor, target: Tensor, back: Tensor, neighbours: int = 10) -> Tensor:
    r"""Cosines less the mean cosine of each side's neighbours, :math:`2 \cos(x, y) - r(x) - r(y)`, [sources, targets].

    Corrects hubs, words that are near to everything. Rows must have length 1; `back` is r(y), the targets' `hubness`.
    """
    cosine = source @ target.T
    near = cosine.topk(min(neighbours, cosine.shape[1]), dim=1).values.mean(1, keepdim=True)
    return 2 * cosine - near - back


@dataclass(frozen=True)
class Alignment:
    """Two prepared embeddings and the rotation between them."""

    source: WordVectors
    target: WordVectors
    rotation: Tensor

    def ranked(self, words: Sequence[str], count: int = 10, use_csls: bool = True) -> list[list[str]]:
        """Translations of each word, best first."""
        rotated = self.source.matrix @ self.rotation
        asked = rotated[[self.source.index[word] for word in words]]
        target = self.target.matrix
        score = csls(asked, target, hubness(rotated, target)) if use_csls else asked @ target.T
        best = score.topk(min(count, score.shape[1]), dim=1).indices
        return [[self.target.words[place] for place in row] for row in best.tolist()]


def align(source: WordVectors, target: WordVectors, seeds: Sequence[tuple[str, str]], centre: bool = True) -> Alignment:
    """Fit the rotation on the pairs of `seeds` that both vocabularies have. Raises `UserError` where there are fewer
    than two."""
    if source.matrix.shape[1] != target.matrix.shape[1]:
        found = f"{source.matrix.shape[1]} and {target.matrix.shape[1]}"
        raise UserError(f"alignment: embeddings of {found} channels, expected the same number")
    pairs = [(source.index[a], target.index[b]) for a, b in seeds if a in source.index and b in target.index]
    if len(pairs) < 2:
        raise UserError(
            f"alignment: {len(pairs)} of {len(seeds)} seed pairs are in both vocabularies, expected at least 2"
        )
    left = WordVectors(source.words, prepare(source.matrix, centre))
    right = WordVectors(target.words, prepare(target.matrix, centre))
    one, two = (torch.tensor(side) for side in zip(*pairs, strict=True))
    return Alignment(left, right, procrustes(left.matrix[one], right.matrix[two]))


def precision_at(
    alignment: Alignment,
    test: Sequence[tuple[str, str]],
    k: int,
    seeds: Sequence[tuple[str, str]],
    use_csls: bool = True,
) -> tuple[float, float]:
    """Share of source words with a right translation among the first `k`, and the share of `test` that both
    vocabularies have.

    Any translation that `test` lists counts. Raises `UserError` where a source word of `test` is in `seeds` too.
    """
    if common := {a for a, _ in seeds} & {a for a, _ in test}:
        raise UserError(
            f"alignment: {len(common)} test words are seeds too ({min(common)!r}); expected disjoint dictionaries"
        )
    answers: dict[str, set[str]] = {}
    for a, b in test:
        if a in alignment.source.index and b in alignment.target.index:
            answers.setdefault(a, set()).add(b)
    if not answers:
        return float("nan"), 0.0
    ranked = alignment.ranked(list(answers), k, use_csls)
    right = sum(bool(set(given) & answers[word]) for word, given in zip(answers, ranked, strict=True))
    return right / len(answers), len(answers) / len({a for a, _ in test})


def read_dictionary(path: Path) -> list[tuple[str, str]]:
    """Pairs `word TAB word` (or space), one a line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    pairs = [tuple(line.split()) for line in lines if line.strip()]
    for number, pair in enumerate(pairs, 1):
        if len(pair) != 2:
            raise UserError(f"{path}: pair {number} has {len(pair)} words, expected 2")
    return [(pair[0], pair[1]) for pair in pairs]
