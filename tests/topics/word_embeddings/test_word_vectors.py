"""Neighbours, analogies, human judgements with coverage, and alignment."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from scipy.stats import ortho_group

from tenfold.data.text.vectors import Subwords, WordVectors
from tenfold.errors import UserError
from tenfold.topics.word_embeddings import alignment, evaluation


@pytest.fixture
def royal() -> WordVectors:
    matrix = torch.tensor([[1.0, 0, 0.1], [1, 1, 0.1], [0, 0.1, 1], [0.05, 1.1, 1], [-1, 0, 0]])
    return WordVectors(("man", "king", "woman", "queen", "stone"), matrix)


def test_analogies_leave_the_questions_words_out(royal: WordVectors) -> None:
    assert royal.analogy("man", "king", "woman", 1)[0][0] == "queen"
    assert {word for word, _ in royal.analogy("man", "king", "woman")} == {"queen", "stone"}
    assert [word for word, _ in royal.neighbours("king", 2)] == ["man", "queen"]


def test_an_unknown_word_is_told_with_the_nearest(royal: WordVectors) -> None:
    with pytest.raises(UserError, match="did you mean 'queen'"):
        royal.vector("quen")
    with_parts = WordVectors(royal.words, royal.matrix, subwords=Subwords(torch.ones(5, 3), 3, 6))
    assert with_parts.vector("quen").tolist() == [1, 1, 1]


def test_similarity_is_spearmans_over_the_covered_pairs(royal: WordVectors, tmp_path: Path) -> None:
    (tmp_path / "p.tsv").write_text("# comment\nKing\tman\t9\nking\tstone\t1\nqueen\twoman\t8\nking\tunseen\t5\n")
    score = evaluation.evaluate_vectors(royal, [str(tmp_path / "p.tsv")])[str(tmp_path / "p.tsv")]
    cosines = [royal.similarity(a, b) for a, b in (("king", "man"), ("king", "stone"), ("queen", "woman"))]
    expected = 1.0 if cosines[0] > cosines[2] > cosines[1] else 0.5
    assert score.value == pytest.approx(expected)
    assert (score.covered, score.total, score.coverage) == (3, 4, 0.75)


def test_analogy_accuracy_counts_the_first_answer_only(royal: WordVectors, tmp_path: Path) -> None:
    questions = [
        ("man", "king", "woman", "queen"),
        ("king", "man", "queen", "woman"),
        ("man", "king", "woman", "stone"),
    ]
    score = evaluation.analogy_score(royal, [*questions, ("man", "king", "woman", "unseen")])
    assert score.value == pytest.approx(2 / 3)
    assert (score.covered, score.total) == (3, 4)
    ranks, _ = evaluation.analogy_ranks(royal, [("man", "king", "woman", "king")])
    assert ranks.tolist() == [5], "an answer that the question names can never be given"


def test_gensims_sets_are_read_whole() -> None:
    pytest.importorskip("gensim")
    assert len(evaluation.read_pairs(evaluation.question_file("wordsim353"))) == 353
    assert len(evaluation.read_pairs(evaluation.question_file("simlex999"))) == 999
    sections = evaluation.read_analogies(evaluation.question_file("analogies"))
    assert sum(map(len, sections.values())) == 19_544
    with pytest.raises(UserError, match="TAB"):
        evaluation.read_pairs(evaluation.question_file("analogies"))


def rotated(words: int = 300, channels: int = 12, noise: float = 0.05) -> tuple[WordVectors, WordVectors]:
    generator = torch.Generator().manual_seed(3)
    source = torch.randn(words, channels, generator=generator)
    turn = torch.from_numpy(ortho_group.rvs(channels, random_state=1)).float()
    target = source @ turn + noise * torch.randn(words, channels, generator=generator)
    left = WordVectors(tuple(f"a{i}" for i in range(words)), source)
    return left, WordVectors(tuple(f"b{i}" for i in range(words)), target)


def test_procrustes_equals_scipys() -> None:
    one, two = torch.randn(2, 40, 6, dtype=torch.double).unbind()
    expected, _ = orthogonal_procrustes(one.numpy(), two.numpy())
    np.testing.assert_allclose(alignment.procrustes(one, two).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("use_csls", [False, True])
def test_a_rotation_is_found_from_seeds_and_measured_on_other_words(use_csls: bool) -> None:
    source, target = rotated()
    seeds = [(f"a{i}", f"b{i}") for i in range(60)]
    test = [(f"a{i}", f"b{i}") for i in range(100, 300)] + [("unseen", "b1")]
    found = alignment.align(source, target, seeds)
    precision, coverage = alignment.precision_at(found, test, 1, seeds, use_csls)
    assert precision > 0.95
    assert coverage == pytest.approx(200 / 201)
    wrong = alignment.align(source, target, [(a, f"b{299 - i}") for i, (a, _) in enumerate(seeds)])
    assert alignment.precision_at(wrong, test, 1, seeds, use_csls)[0] < 0.1


def test_csls_is_the_formula_in_any_chunking() -> None:
    one = torch.nn.functional.normalize(torch.randn(30, 5), dim=1)
    two = torch.nn.functional.normalize(torch.randn(20, 5), dim=1)
    score = alignment.csls(one[:4], two, alignment.hubness(one, two, 3, chunk=7), 3)
    cosine = one @ two.T
    for x in range(4):
        for y in range(20):
            near = cosine[x].sort().values[-3:].mean()
            back = cosine[:, y].sort().values[-3:].mean()
            assert score[x, y].item() == pytest.approx(float(2 * cosine[x, y] - near - back), abs=1e-5)


def test_shared_words_and_missing_seeds_are_refused() -> None:
    source, target = rotated(20)
    found = alignment.align(source, target, [("a1", "b1"), ("a2", "b2")])
    with pytest.raises(UserError, match="disjoint"):
        alignment.precision_at(found, [("a1", "b1")], 1, [("a1", "b1")])
    with pytest.raises(UserError, match="0 of 1 seed pairs"):
        alignment.align(source, target, [("x", "y")])
    with pytest.raises(UserError, match="12 and 3 channels"):
        alignment.align(source, WordVectors(("b1",), torch.ones(1, 3)), [("a1", "b1")])
