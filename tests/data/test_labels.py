import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from tenfold.data.labels import check_classes, check_fraction, majority_baseline, stratified, stratified_fold
from tenfold.errors import UserError

repeatedly = settings(deadline=None, max_examples=50)
many_labels = st.lists(st.integers(0, 4), min_size=2, max_size=200).map(torch.tensor)


@repeatedly
@given(many_labels, st.floats(0.01, 0.5), st.integers(0, 3))
def test_a_stratified_part_has_each_class_in_proportion(labels, fraction, seed):
    rest, part = stratified(labels, fraction, seed)
    assert torch.cat([rest, part]).sort().values.equal(torch.arange(len(labels)))
    counts, chosen = labels.bincount(), labels[part].bincount(minlength=5)
    size = round(fraction * len(labels))
    for label, count in enumerate(counts.tolist()):
        if count == 1:
            assert chosen[label] == 0
        else:
            assert abs(chosen[label] - count * size / len(labels)) < 1
    if counts[counts > 0].min() > 1:
        assert len(part) == size


def test_equal_classes_are_divided_equally():
    rest, part = stratified(torch.arange(10).repeat(50), 0.2, seed=0)
    assert torch.arange(10).repeat(50)[part].bincount().tolist() == [10] * 10
    assert not part.equal(stratified(torch.arange(10).repeat(50), 0.2, seed=1)[1])
    assert len(rest) == 400


@repeatedly
@given(many_labels, st.integers(2, 10))
def test_folds_make_up_all_samples(labels, num_folds):
    parts = [stratified_fold(labels, num_folds, fold, seed=1)[1] for fold in range(num_folds)]
    assert torch.cat(parts).sort().values.equal(torch.arange(len(labels)))
    for label in labels.unique():
        counts = [int((labels[part] == label).sum()) for part in parts]
        assert max(counts) - min(counts) <= 1


def test_a_fold_that_is_none_is_refused():
    with pytest.raises(UserError, match=r"data\.fold: found 10, expected 0 to 9"):
        stratified_fold(torch.zeros(20, dtype=torch.int64), 10, 10, seed=0)


def test_one_class_is_refused_and_imbalance_is_warned_of():
    with pytest.raises(UserError, match="all 5 samples are of one class \\('a'\\)"):
        check_classes(torch.zeros(5, dtype=torch.int64), ("a", "b"))
    with pytest.warns(UserWarning, match="imbalanced classes: 23 training samples of 'a', 2 of 'b'"):
        check_classes(torch.tensor([0] * 23 + [1] * 2), ("a", "b"))


def test_moderate_imbalance_is_not_warned_of(recwarn):
    check_classes(torch.tensor([0] * 20 + [1] * 2), ("a", "b"))
    assert not recwarn


@pytest.mark.parametrize("fraction", [-0.1, 1.0])
def test_a_fraction_that_is_none_is_refused(fraction):
    with pytest.raises(UserError, match=r"data\.val_fraction: found"):
        check_fraction("data.val_fraction", fraction)


@repeatedly
@given(many_labels, many_labels)
def test_the_baseline_is_that_of_the_majority_answer(train, labels):
    majority = train.bincount().argmax().expand(len(labels))
    expected = accuracy_score(labels, majority), f1_score(labels, majority, average="macro", zero_division=0)
    found = majority_baseline(train, labels)
    assert (found["accuracy"], found["f1_macro"]) == pytest.approx(expected)
