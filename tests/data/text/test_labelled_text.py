import pytest
import torch

from tenfold.data.text.labelled_text import LabelledTexts, TextData, deduplicated
from tenfold.errors import UserError


def numbered(count: int) -> LabelledTexts:
    return LabelledTexts([f"text number {index}" for index in range(count)], torch.arange(count) % 2)


class Numbered(TextData):
    """Forty texts, all different."""

    def read_texts(self):
        return {"train": numbered(40)}, ("even", "odd")


def make(cls=Numbered, **arguments):
    data = cls(**({"batch_size": 8} | arguments))
    data.setup()
    return data


def test_splits_are_stratified_and_share_nothing():
    data = make(val_fraction=0.2, test_fraction=0.1)
    assert {split: len(part) for split, part in data.splits.items()} == {"train": 28, "val": 8, "test": 4}
    assert sorted(text for part in data.texts.values() for text in part.texts) == sorted(numbered(40).texts)
    assert all(data.labels(split).bincount().tolist() == [len(part) // 2] * 2 for split, part in data.splits.items())


def test_the_split_follows_its_own_seed():
    assert make(seed=1).texts["test"].texts == make(seed=2).texts["test"].texts
    assert make(split_seed=1).texts["test"].texts != make(split_seed=2).texts["test"].texts


def test_no_split_where_the_fraction_is_zero():
    assert set(make(val_fraction=0).splits) == {"train", "test"}


def test_texts_tokens_and_labels_belong_together():
    data = make(min_count=1)
    for split, part in data.splits.items():
        tokens, labels = part.fetch(torch.arange(len(part)))
        for index in range(len(part)):
            text = data.example(split, index)
            assert tokens[index].tolist() == data.spec.encode(text)
            assert labels[index] == int(text.split()[-1]) % 2


def test_vocabulary_and_script_are_those_of_the_training_split():
    class Bilingual(TextData):
        def read_texts(self):
            train = LabelledTexts(["good book", "bad book"], torch.tensor([1, 0]))
            others = LabelledTexts(["很好的一本书，非常喜欢", "很好的"], torch.tensor([1, 0]))
            return {"train": train, "val": others, "test": others}, ("bad", "good")

    spec = make(Bilingual, min_count=1).spec
    assert spec.tokenizer == "words"
    assert set(spec.tokens[2:]) == {"good", "bad", "book"}


def test_max_length_and_max_size_hold():
    data = make(max_length=2, max_size=4)
    tokens, _ = data.splits["train"].fetch(torch.arange(5))
    assert tokens.shape == (5, 2)
    assert data.spec.network_arguments()["vocab_size"] == 4


def test_training_batches_hold_texts_of_like_length():
    class Uneven(TextData):
        def read_texts(self):
            texts = [f"{index} " * (index % 10 + 1) for index in range(80)]
            return {"train": LabelledTexts(texts, torch.arange(80) % 2)}, ("even", "odd")

    for tokens, _ in make(Uneven, min_count=1).train_dataloader():
        lengths = (tokens != 0).sum(1)
        assert lengths.max() - lengths.min() <= 2


def test_baseline_is_that_of_the_majority():
    class Skewed(TextData):
        def read_texts(self):
            return {"train": LabelledTexts(numbered(40).texts, (torch.arange(40) % 4 == 0).long())}, ("often", "seldom")

    assert make(Skewed).baseline("test") == pytest.approx({"accuracy": 0.75, "f1_macro": 0.75 / 1.75})


def test_duplicates_go_before_the_split():
    class Doubled(TextData):
        def read_texts(self):
            once = numbered(40)
            return {"train": LabelledTexts(once.texts * 2, once.labels.repeat(2))}, ("even", "odd")

    assert sum(map(len, make(Doubled).splits.values())) == 40
    assert sum(map(len, make(Doubled, deduplicate=False).splits.values())) == 80


def test_the_first_of_equal_texts_stays():
    kept = deduplicated(LabelledTexts(["fine", "poor", "fine", "fine :)"], torch.tensor([1, 0, 1, 1])))
    assert kept.texts == ["fine", "poor", "fine :)"]
    assert kept.labels.tolist() == [1, 0, 1]


def test_texts_with_two_classes_go_altogether():
    kept = deduplicated(LabelledTexts(["so so", "fine", "so so"], torch.tensor([1, 1, 0])))
    assert kept.texts == ["fine"]


def test_one_class_only_is_refused():
    class Single(TextData):
        def read_texts(self):
            return {"train": LabelledTexts(numbered(40).texts, torch.zeros(40, dtype=torch.long))}, ("only",)

    with pytest.raises(UserError, match="one class \\('only'\\)"):
        make(Single)


def test_too_few_texts_for_a_split_are_refused():
    class Few(TextData):
        def read_texts(self):
            return {"train": numbered(4)}, ("even", "odd")

    with pytest.raises(UserError, match="the val split is empty"):
        make(Few)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"tokenizer": "word"}, "data.tokenizer: found 'word'.*did you mean 'words'"),
        ({"max_length": 0}, "data.max_length: found 0"),
        ({"max_size": 2}, "data.max_size: found 2"),
        ({"val_fraction": -0.1}, "data.val_fraction: found -0.1"),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, r"data.val_fraction \+ data.test_fraction: found 1.0"),
    ],
)
def test_impossible_options_are_refused(wrong, message):
    with pytest.raises(UserError, match=message):
        Numbered(batch_size=8, **wrong)
