"""The module on a tiny corpus: it learns, it stays stable at every step size, and it answers."""

from pathlib import Path

import pytest
import torch

from tenfold.errors import UserError
from tenfold.topics.word_embeddings import data as data_module
from tenfold.topics.word_embeddings.data import Queries, TextCorpus
from tenfold.topics.word_embeddings.evaluation import similarity_score
from tenfold.topics.word_embeddings.module import Word2Vec
from tenfold.topics.word_embeddings.networks import SubwordEmbedding, WordEmbedding

GROUPS = 6


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TextCorpus:
    """Sentences of words of one of six groups, with a few words that are everywhere; who keeps company is known."""
    folder = tmp_path_factory.mktemp("text")
    generator = torch.Generator().manual_seed(0)
    lines = []
    for number in torch.randint(GROUPS, (1500,), generator=generator).tolist():
        words = [f"{'abcdef'[number] * 3}{place}" for place in torch.randint(5, (8,), generator=generator).tolist()]
        words[::3] = [("the", "of")[place] for place in torch.randint(2, (3,), generator=generator).tolist()]
        lines.append(" ".join(words))
    (folder / "text.txt").write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TENFOLD_CACHE", str(folder / "cache"))
        module = TextCorpus(str(folder / "text.txt"), tokenizer="spaces", length=200, batch_size=16, min_count=1)
        module.setup()
    return module


def trained(
    data: TextCorpus, epochs: int = 6, rate: float = 0.05, subwords: bool = False, **options: object
) -> Word2Vec:
    torch.manual_seed(1)
    words = data.spec.words
    network = SubwordEmbedding(words, 16, buckets=200) if subwords else WordEmbedding(len(words), 16)
    model = Word2Vec(data.spec, network, threshold=1e-2, **options)  # type: ignore[arg-type]
    train = data.splits["train"]
    for epoch in range(epochs):
        batch = train.fetch(torch.arange(len(train)))
        model.train_blocks(model.cutter(batch.tokens, batch.index, epoch).shuffled(), rate)
    return model


def held_out(model: Word2Vec, data: TextCorpus) -> float:
    batch = data.splits["test"].fetch(torch.arange(len(data.splits["test"])))
    return float(model.losses(batch)[model.term].detach()) / float(model.weights(batch)[model.term])


@pytest.mark.parametrize("architecture", ["skipgram", "cbow"])
@pytest.mark.parametrize("objective, kernel", [("negative", "auto"), ("negative", "blocks"), ("hierarchical", "auto")])
@pytest.mark.parametrize("subwords", [False, True])
def test_words_that_keep_company_come_near(
    data: TextCorpus, architecture: str, objective: str, kernel: str, subwords: bool
) -> None:
    options = {"architecture": architecture, "objective": objective, "kernel": kernel, "subwords": subwords}
    options["step_words"] = 128
    model = trained(data, epochs=8, rate=0.1 if architecture == "skipgram" else 0.3, **options)  # type: ignore[arg-type]
    before = trained(data, epochs=0, **options)  # type: ignore[arg-type]
    assert held_out(model, data) < 0.9 * held_out(before, data)
    vectors = model.vectors()
    names = [word for word in vectors.words if word not in ("the", "of")]
    pairs = [(one, two, float(one[:3] == two[:3])) for one in names for two in names if one < two]
    assert similarity_score(vectors, pairs).value > 0.4


@pytest.mark.parametrize("step_words", [1, 64, 512, 4096, 100_000])
@pytest.mark.parametrize("architecture", ["skipgram", "cbow"])
@pytest.mark.parametrize("objective", ["negative", "hierarchical"])
def test_no_step_size_diverges(data: TextCorpus, step_words: int, architecture: str, objective: str) -> None:
    options = {"architecture": architecture, "objective": objective, "step_words": step_words, "group": 2}
    options["kernel"] = "blocks"
    model = trained(data, epochs=3, rate=0.2, **options)  # type: ignore[arg-type]
    assert model.network.inputs.weight.isfinite().all()
    assert model.network.outputs.isfinite().all()
    assert held_out(model, data) < 1.02 * held_out(trained(data, epochs=0, **options), data)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kernel", "step_words"), [("auto", 1024), ("blocks", 1), ("blocks", 100_000)])
@pytest.mark.parametrize("architecture", ["skipgram", "cbow"])
def test_no_step_size_diverges_on_ngrams(data: TextCorpus, kernel: str, step_words: int, architecture: str) -> None:
    options = {"architecture": architecture, "kernel": kernel, "step_words": step_words, "group": 2, "subwords": True}
    model = trained(data, epochs=3, rate=0.2, **options)  # type: ignore[arg-type]
    assert model.network.inputs.weight.isfinite().all()
    assert held_out(model, data) < held_out(trained(data, epochs=0, **options), data)  # type: ignore[arg-type]


@pytest.mark.parametrize("subwords", [False, True])
def test_workers_share_the_tables_and_leave_the_threads_as_they_were(data: TextCorpus, subwords: bool) -> None:
    threads = torch.get_num_threads()
    options = {"workers": 2, "step_words": 64, "group": 2, "subwords": subwords, "rate": 0.1}
    model = trained(data, epochs=8, **options)  # type: ignore[arg-type]
    assert torch.get_num_threads() == threads
    assert held_out(model, data) < 0.9 * held_out(trained(data, epochs=0, **options), data)  # type: ignore[arg-type]


def test_losses_and_weights_are_sums_over_stretches(data: TextCorpus) -> None:
    model = trained(data, epochs=1)
    batch = data.splits["train"].fetch(torch.arange(5))
    parts = [type(batch)(batch.tokens[part], batch.index[part]) for part in (slice(0, 2), slice(2, 5))]
    whole = model.losses(batch)[model.term]
    torch.testing.assert_close(sum(model.losses(part)[model.term] for part in parts), whole)
    assert sum(int(model.weights(part)[model.term]) for part in parts) == int(model.weights(batch)[model.term])
    assert float(model.loss_of(model.cut(batch))[1]) == float(model.weights(batch)[model.term])


def test_splits_are_disjoint_and_counts_are_of_the_training_text(data: TextCorpus) -> None:
    parts = [set(data.splits[name].index.tolist()) for name in ("train", "val", "test")]
    assert len(set.union(*parts)) == sum(map(len, parts))
    tokens = data.splits["train"].fetch(torch.arange(len(data.splits["train"]))).tokens
    counted = torch.bincount(tokens[tokens >= 0], minlength=len(data.spec.words)).clamp(min=1)
    assert tuple(counted.tolist()) == data.spec.counts


def test_reading_gives_the_mapped_files_memory_back(data: TextCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    train, given = data.splits["train"], []
    monkeypatch.setattr(train, "HELD", 5 * data_module.AROUND, raising=False)
    monkeypatch.setattr(train, "_touched", 0)
    monkeypatch.setattr(data_module, "release", given.append)
    before = train.fetch(torch.arange(4)).tokens
    assert not given
    for _ in range(3):
        train.fetch(torch.arange(4))
    assert len(given) == 2
    assert given[0] is train.tokens
    monkeypatch.undo()
    data_module.release(train.tokens)
    assert torch.equal(train.fetch(torch.arange(4)).tokens, before)


def test_questions_of_one_two_and_three_words(data: TextCorpus) -> None:
    model = trained(data)
    lines = (("aaa1",), ("aaa1", "aaa2"), ("aaa1", "aaa2", "bbb1"), ("vector:", "the"))
    one, two, three, vector = model.predict_inputs(Queries(lines))
    assert "aaa1" not in one["neighbours"]
    assert -1 <= two["similarity"] <= 1
    assert not {"aaa1", "aaa2", "bbb1"} & set(three["analogy"])
    assert len(vector["vector"]) == 16
    with pytest.raises(UserError, match=r"not in the vocabulary of 32 words; did you mean 'aaa"):
        model.predict_inputs(Queries((("aaa7",),)))
    with pytest.raises(UserError, match="found 4 words"):
        model.predict_inputs(Queries((("a", "b", "c", "d"),)))
    unseen = trained(data, epochs=1, subwords=True).predict_inputs(Queries((("aaa7",),)))
    assert len(unseen[0]["neighbours"]) == 10


def test_exported_lookup_gives_the_vectors(data: TextCorpus) -> None:
    model = trained(data, epochs=1, subwords=True)
    words = torch.tensor([3, 0])
    torch.testing.assert_close(model.lookup(words), model.network(words).detach())


@pytest.mark.parametrize(
    ("options", "message"),
    [({"architecture": "skipgrm"}, "did you mean 'skipgram'"), ({"window": 0}, "model.window: found 0")],
)
def test_wrong_settings_are_told(data: TextCorpus, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Word2Vec(data.spec, WordEmbedding(5), **options)


def test_wrong_data_settings_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    (tmp_path / "t.txt").write_text("a b c a b c\n" * 20)
    with pytest.raises(UserError, match="expected 3"):
        TextCorpus(str(tmp_path / "t.txt"), min_count=1).setup()
    with pytest.raises(UserError, match="data.tokenizer: found 'word'"):
        TextCorpus(str(tmp_path / "t.txt"), tokenizer="word")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="and a sum below 1"):
        TextCorpus(str(tmp_path / "t.txt"), val_fraction=0.6, test_fraction=0.5)
