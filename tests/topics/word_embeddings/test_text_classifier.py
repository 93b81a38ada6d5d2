"""FastText's supervised mode: rows as fastText makes them, gradients by the book, both softmaxes, sparse steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tenfold.data.base import Labelled
from tenfold.data.text.subwords import ngram_hashes, word_hashes
from tenfold.errors import UserError
from tenfold.topics.word_embeddings.text_module import TextClassification
from tenfold.topics.word_embeddings.text_network import FastTextClassifier
from tenfold.topics.word_embeddings.text_rows import TextRowSpec, TSVRows, word_ngrams


def fnv(word: str) -> int:
    """fastText's `Dictionary::hash`, a byte at a time."""
    state = 2166136261
    for byte in word.encode():
        state = ((state ^ (byte - 256 if byte > 127 else byte)) & 0xFFFFFFFF) * 16777619 & 0xFFFFFFFF
    return state


def spec(**options: int) -> TextRowSpec:
    given = {"word_ngrams": 1, "buckets": 50, "min_n": 0, "max_n": 0} | options
    return TextRowSpec(("no", "yes"), "words", ("<pad>", "<unk>", "good", "bad", "café"), 100, (3, 2), **given)


def test_words_are_hashed_as_fasttext_hashes_them() -> None:
    words = ["good", "café", "", "好", "a"]
    assert word_hashes(words).tolist() == [fnv(word) for word in words]
    assert word_hashes([]).tolist() == []


def test_word_ngrams_are_fasttexts() -> None:
    hashes = word_hashes(["the", "café", "is", "good"])
    expected = []
    for first in range(4):
        state = int(np.int32(hashes[first].astype(np.int32))) % 2**64
        for second in range(first + 1, min(first + 3, 4)):
            state = (state * 116049371 + int(hashes[second].astype(np.int32))) % 2**64
            expected.append(state)
    assert sorted(word_ngrams(hashes, 3).tolist()) == sorted(expected)
    assert word_ngrams(hashes[:1], 3).tolist() == []


def test_a_text_is_its_words_their_ngrams_and_its_runs_of_words() -> None:
    assert spec().encode("Good, bad unseen café") == [2, 3, 4]
    assert spec().encode("unseen") == spec().encode("") == [1]
    parts, _ = ngram_hashes(["unseen"], 3, 4)
    assert spec(min_n=3, max_n=4).encode("unseen") == [5 + int(part) % 50 for part in parts]
    rows = spec(min_n=3, max_n=4, word_ngrams=2).encode("good unseen")
    run = int(word_ngrams(word_hashes(["good", "unseen"]), 2)[0]) % 50
    whole = [2, *(5 + int(part) % 50 for part in ngram_hashes(["good", "unseen"], 3, 4)[0]), 5 + run]
    assert sorted(rows) == sorted(whole)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([[2, 3, 3, 0], [4, 0, 0, 0], [5, 6, 7, 2]]), torch.tensor([0, 2, 1])


@pytest.mark.parametrize("objective", ["softmax", "hierarchical"])
def test_probabilities_sum_to_one_and_padding_changes_nothing(objective: str) -> None:
    torch.manual_seed(0)
    network = FastTextClassifier(8, (5, 2, 9), 4, objective).double()  # type: ignore[arg-type]
    torch.nn.init.normal_(network.outputs)
    texts, labels = batch()
    logits = network(texts)
    torch.testing.assert_close(logits, network(torch.nn.functional.pad(texts, (0, 3))))
    mean = torch.stack([network.embedding.weight[row[row > 0]].mean(0) for row in texts])
    torch.testing.assert_close(network.hidden(texts), mean)
    if objective == "softmax":
        torch.testing.assert_close(logits, mean @ network.outputs.T)
    else:
        torch.testing.assert_close(logits.exp().sum(1), torch.ones(3).double())
        own = logits.gather(1, labels.unsqueeze(1)).squeeze(1)
        torch.testing.assert_close(network.path_loss(mean, labels), -own)


@pytest.mark.parametrize("objective", ["softmax", "hierarchical"])
@pytest.mark.parametrize("weights", [None, [1.0, 3.0, 0.5]])
def test_a_sparse_step_is_the_gradient_of_the_summed_loss(objective: str, weights: list[float] | None) -> None:
    torch.manual_seed(0)
    given = TextRowSpec(("a", "b", "c"), "words", ("<pad>", "<unk>"), 9, (5, 2, 9), 1, 6, 1, 2)
    network = FastTextClassifier(8, given.class_counts, 4, objective)  # type: ignore[arg-type]
    module = TextClassification(given, network, class_weights=weights).double()
    torch.nn.init.normal_(network.outputs)
    texts = Labelled(*batch())
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    module.losses(texts)["cross_entropy"].backward()
    expected = {name: before[name] - 0.3 * parameter.grad for name, parameter in network.named_parameters()}
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(
            network(texts.inputs), texts.labels, module.class_weights, reduction="sum"
        )
    torch.testing.assert_close(module.losses(texts)["cross_entropy"], loss)
    module.train_rows(texts, 0.3)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[name])


@pytest.fixture
def tsv(tmp_path: Path) -> Path:
    """What tells the classes apart is a prefix: words are each seen about once."""
    random = np.random.default_rng(0)
    lines = []
    for number in range(300):
        prefix = ("over", "un")[number % 2]
        words = ["".join(random.choice(list("aeioulmnrst"), 5)) for _ in range(3)]
        lines.append(f"{('big', 'not')[number % 2]}\t{words[0]} {prefix}{words[1]} {words[2]}")
    (tmp_path / "texts.tsv").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "texts.tsv"


@pytest.mark.parametrize("objective", ["softmax", "hierarchical"])
def test_character_ngrams_tell_words_that_were_never_seen(tsv: Path, objective: str) -> None:
    scores = {}
    for max_n in (0, 4):
        data = TSVRows(path=str(tsv), batch_size=16, min_count=1, min_n=3 if max_n else 0, max_n=max_n, buckets=2000)
        data.setup()
        torch.manual_seed(0)
        network = FastTextClassifier(**data.spec.network_arguments(), objective=objective)  # type: ignore[arg-type]
        module = TextClassification(data.spec, network)  # type: ignore[arg-type]
        for _ in range(12):
            for chosen in torch.arange(len(data.splits["train"])).split(16):
                module.train_rows(data.splits["train"].fetch(chosen), 0.5)
        test = data.splits["test"].fetch(torch.arange(len(data.splits["test"])))
        scores[max_n] = float((network(test.inputs).argmax(1) == test.labels).float().mean())
    assert scores[4] > 0.9
    assert scores[0] < 0.8


def test_its_probabilities_are_fasttexts_own(tmp_path: Path) -> None:
    """A model that fastText trained, in our network: the same rows, so the same probabilities."""
    fasttext = pytest.importorskip("fasttext")
    lines = [f"__label__{'ab'[n % 2]} {('good café', 'bad 好')[n % 2]} w{n % 7} w{n % 3}" for n in range(60)]
    (tmp_path / "t.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = {"dim": 6, "minn": 2, "maxn": 4, "wordNgrams": 3, "bucket": 100, "epoch": 5, "thread": 1, "verbose": 0}
    theirs = fasttext.train_supervised(str(tmp_path / "t.txt"), minCount=1, **settings)
    words, labels = theirs.get_words(), tuple(theirs.get_labels())
    given = TextRowSpec(labels, "words", ("<pad>", "<unk>", *words), 99, (30, 30), 3, 100, 2, 4)
    network = FastTextClassifier(**given.network_arguments(), channels=6)
    network.embedding.weight.data[2:] = torch.from_numpy(theirs.get_input_matrix())
    network.outputs.data = torch.from_numpy(theirs.get_output_matrix())
    for text in ("good w1 w2", "bad unseen 好 w1"):
        ours = network(torch.tensor([given.encode(text)])).softmax(1)[0]
        expected = {label: probability for probability, label in theirs.f.predict(text, 2, 0.0, "strict")}
        for label, probability in zip(labels, ours.tolist(), strict=True):
            assert probability == pytest.approx(expected[label], abs=2e-3)  # their sigmoid and softmax are of tables


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"word_ngrams": 0}, "data.word_ngrams: found 0, expected at least 1"),
        ({"word_ngrams": 2, "buckets": 0}, "data.buckets: found 0"),
        ({"min_n": 4, "max_n": 3}, "data.max_n: found 3, expected 0 or at least data.min_n"),
        ({"min_n": 0, "max_n": 3}, "data.min_n: found 0, expected at least 1"),
    ],
)
def test_wrong_rows_are_told(tsv: Path, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TSVRows(path=str(tsv), batch_size=16, **options)


def test_wrong_objectives_are_told() -> None:
    with pytest.raises(UserError, match=r"model.network.objective: found 'softmx'.*did you mean 'softmax'"):
        FastTextClassifier(8, (1, 1), objective="softmx")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"model.label_smoothing: found 0.1, expected 0 with hierarchical"):
        TextClassification(spec(), FastTextClassifier(8, (1, 1), 2, "hierarchical"), label_smoothing=0.1)
