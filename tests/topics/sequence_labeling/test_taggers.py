"""Taggers: padding changes nothing, they learn what one can learn, and count what they get wrong."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch

from tenfold.errors import UserError
from tenfold.topics.sequence_labeling.data import Sentence, TaggedSentences
from tenfold.topics.sequence_labeling.decoders import Softmax
from tenfold.topics.sequence_labeling.markov_tagger import MarkovTagger
from tenfold.topics.sequence_labeling.module import SpanTagger, Tagger
from tenfold.topics.sequence_labeling.networks import LinearTagger, RecurrentTagger
from tenfold.topics.sequence_labeling.schemes import violations
from tenfold.topics.sequence_labeling.spec import TaggingSpec
from tenfold.topics.sequence_labeling.transformer import TransformerTagger

WORDS = ["<pad>", "<unk>", "a", "b", "c"]
SPEC = TaggingSpec(
    tags=("O", "B-X", "I-X", "E-X", "S-X"),
    scheme="bioes",
    unit="word",
    tokenizer="spaces",
    vocabularies=(tuple(WORDS),) * 8,
    characters=("<pad>", "<unk>", "a", "b", "c"),
    max_characters=3,
    vector_words=("<pad>", "<unk>", "a", "B"),
    vector_dim=5,
)


NETWORKS = ["linear", "two layers", "softmax", "with features", "transformer", "counts"]


def network_of(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    known = SPEC.network_arguments()
    embedding = {**known, "embedding_dims": [8, 4], "hidden_size": 8, "character_dim": 4, "character_channels": 4}
    small = {name: known[name] for name in ("vocab_sizes", "tags", "scheme")}
    built: torch.nn.Module
    if name == "linear":
        built = LinearTagger(**small)
    elif name == "counts":
        built = MarkovTagger(**small)
    elif name == "transformer":
        built = TransformerTagger(**embedding, num_heads=2, max_distance=3, span=16)
    else:
        options = {"two layers": {"num_layers": 2}, "softmax": {"decoder": "softmax"}}
        built = RecurrentTagger(**embedding, **options.get(name, {"window": 1, "speller": "lstm"}))
    features = getattr(built, "features", None)
    for table in features.weights if features is not None else []:
        torch.nn.init.normal_(table.weight, std=0.1)
        table.weight.data[0] = 0
    return built


@pytest.mark.parametrize("name", NETWORKS)
def test_padding_does_not_change_emissions_or_likelihood(name: str) -> None:
    network = network_of(name).double().eval()
    short, long = SPEC.encode(["a", "b", "zz"]).long(), SPEC.encode(["c", "a", "b", "a", "q"]).long()
    alone = network(short.unsqueeze(0))
    together = network(torch.nn.utils.rnn.pad_sequence([short, long], batch_first=True))
    torch.testing.assert_close(together[:1, :3], alone)
    mask = torch.tensor([[True] * 3])
    tags = torch.tensor([[0, 1, 3]])
    padded = torch.nn.functional.pad(mask, (0, 2)), torch.nn.functional.pad(tags, (0, 2), value=-1)
    likelihood = network.decoder(together[:1], padded[1], padded[0])
    torch.testing.assert_close(likelihood, network.decoder(together[:1, :3], tags, mask))


def test_a_linear_tagger_sums_the_weights_of_the_window() -> None:
    network = network_of("linear").eval()
    inputs = SPEC.encode(["a", "b", "c"]).long().unsqueeze(0)
    emissions = network(inputs)
    expected = torch.zeros(3, 5)
    for t, (offset, table) in itertools.product(
        range(3), itertools.product(range(-2, 3), enumerate(network.features.weights))
    ):
        column, weights = table
        if 0 <= t + offset < 3:
            expected[t] += weights(inputs[0, t + offset, column]).view(5, 5)[offset + 2]
    torch.testing.assert_close(emissions[0], expected + network.bias)


def test_softmax_decoding_obeys_the_scheme_and_its_loss_is_cross_entropy() -> None:
    torch.manual_seed(0)
    decoder = Softmax(SPEC.tags, "bioes")
    emissions, tags = torch.randn(8, 9, 5), torch.randint(5, (8, 9))
    mask = torch.arange(9) < torch.randint(1, 10, (8, 1))
    expected = -emissions.log_softmax(2).gather(2, tags.unsqueeze(2)).squeeze(2)
    torch.testing.assert_close(decoder(emissions, tags, mask), (expected * mask).sum(1))
    for row, inside in zip(decoder.decode(emissions, mask), mask, strict=True):
        assert violations([SPEC.tags[k] for k in row[inside].tolist()], "bioes") == []
        assert (row[~inside] == -1).all()
    free = Softmax(["N", "V"], None)
    assert torch.equal(free.decode(emissions[..., :2], mask), emissions[..., :2].argmax(2).where(mask, -1))


def evaluated(module: Tagger, sentences: list[Sentence]) -> dict[str, float]:
    batch = TaggedSentences(sentences, module.spec).fetch(torch.arange(len(sentences)))
    with torch.no_grad():
        module.eval().evaluate(batch, "test")
    return module.measure("test")


@pytest.mark.parametrize("name", NETWORKS)
def test_learns_spans_that_depend_on_their_neighbours(name: str) -> None:
    """`b` after `a` ends a span that `a` begins; `b` elsewhere is outside; `c` is a span of its own."""
    generator = torch.Generator().manual_seed(0)
    sentences = []
    for _ in range(60):
        words, tags = [], []
        for k in torch.randint(3, (5,), generator=generator).tolist():
            words += [["a", "b"], ["b"], ["c"]][k]
            tags += [["B-X", "E-X"], ["O"], ["S-X"]][k]
        sentences.append(Sentence(words, tags))
    module = SpanTagger(SPEC, network_of(name))
    batch = TaggedSentences(sentences, SPEC).fetch(torch.arange(50))
    if name == "counts":
        train = TaggedSentences(sentences[:50], SPEC)
        module.network.count(train.inputs[:-1].long(), train.tags[:-1].long(), train.lengths)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    for _ in range(0 if name == "counts" else 40):
        optimizer.zero_grad()
        (module.losses(batch)["nll"] / module.weights(batch)["nll"]).backward()
        optimizer.step()
    scores = evaluated(module, sentences[50:])
    assert scores["f1"] == scores["accuracy"] == 1.0
    answer = module.predict_inputs(SPEC.encode(["b", "a", "b", "c"]).long().unsqueeze(0))[0]
    assert answer["tags"] == ["O", "B-X", "E-X", "S-X"]
    assert answer["spans"] == [{"start": 1, "stop": 3, "type": "X"}, {"start": 3, "stop": 4, "type": "X"}]


class Fixed(torch.nn.Module):
    """Emits the same tag everywhere."""

    def __init__(self, tag: int) -> None:
        super().__init__()
        self.tag, self.decoder = tag, Softmax(SPEC.tags, "bioes")

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return 9 * torch.nn.functional.one_hot(torch.full(inputs.shape[:2], self.tag), 5).float()


def test_gold_tags_that_training_lacks_count_as_wrong_but_not_in_the_loss() -> None:
    module = SpanTagger(SPEC, Fixed(4))
    sentence = Sentence(["a", "q", "b"], ["S-X", "S-NEW", "O"])
    scores = evaluated(module, [sentence, Sentence(["c"], ["S-X"])])
    assert scores["accuracy"] == 0.5
    assert scores["unseen_accuracy"] == 0.0
    assert (scores["precision"], scores["recall"]) == (2 / 4, 2 / 3)
    batch = TaggedSentences([sentence], SPEC).fetch(torch.arange(1))
    assert module.weights(batch)["nll"] == 2
    assert torch.isfinite(module.losses(batch)["nll"])
    assert module.measured["test"].span_score("<unseen>") == (0, 0, 0, 1)


def test_a_penalty_on_the_outside_finds_more_spans_and_leaves_the_loss() -> None:
    sentences = [Sentence(["a", "q", "b"], ["S-X", "O", "O"])]
    plain, bold = (SpanTagger(SPEC, Fixed(0), outside_penalty=penalty) for penalty in (0.0, 10.0))
    assert evaluated(plain, sentences)["recall"] == 0.0
    assert evaluated(bold, sentences)["recall"] > 0.0
    batch = TaggedSentences(sentences, SPEC).fetch(torch.arange(1))
    assert torch.equal(plain.losses(batch)["nll"], bold.losses(batch)["nll"])


def test_a_tagger_of_spans_refuses_plain_labels() -> None:
    with pytest.raises(UserError, match="^model: SpanTagger .*data.scheme=null"):
        SpanTagger(dataclasses.replace(SPEC, scheme=None), torch.nn.Identity())


def test_pictures_can_be_drawn() -> None:
    module = SpanTagger(SPEC, network_of("two layers"))
    evaluated(module, [Sentence(["a", "q", "*b"], ["S-X", "S-NEW", "O"]), Sentence(["c"], ["S-X"])])
    drawn = module.pictures("test")
    assert {"test/confusions", "test/tagged", "test/f1_by_type", "test/transitions"} == set(drawn)
    page = drawn["test/tagged"]
    assert isinstance(page, str)
    assert "~~&lt;unk&gt;~~<sub>&lt;unseen&gt;</sub>" in page
