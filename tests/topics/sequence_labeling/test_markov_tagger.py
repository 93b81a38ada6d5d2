"""The counted tagger: known words by their counts, unseen ones by their letters and neighbours."""

from __future__ import annotations

import pytest
import torch

from tenfold.errors import UserError
from tenfold.topics.sequence_labeling.data import Sentence, TaggedSentences
from tenfold.topics.sequence_labeling.markov_tagger import MarkovTagger
from tenfold.topics.sequence_labeling.sources import Conll
from tenfold.topics.sequence_labeling.spec import TaggingSpec


def counted(sentences: list[Sentence], **options) -> tuple[TaggingSpec, MarkovTagger]:
    data = Conll(train="train", val="val", scheme=None, min_count=1, max_characters=0, batch_size=2)
    spec = data._build_spec(sentences)
    known = spec.network_arguments()
    tagger = MarkovTagger(known["vocab_sizes"], known["tags"], None, **options)
    train = TaggedSentences(sentences, spec)
    tagger.count(train.inputs[:-1].long(), train.tags[:-1].long(), train.lengths)
    return spec, tagger


def tagged(spec: TaggingSpec, tagger: MarkovTagger, text: str) -> str:
    inputs = spec.encode(text.split()).long().unsqueeze(0)
    found = tagger.decoder.decode(tagger(inputs))[0].tolist()
    return " ".join(spec.tags[k] for k in found)


def one_by_one(pairs: list[tuple[str, str]]) -> list[Sentence]:
    return [Sentence([word], [tag]) for word, tag in pairs]


def test_a_known_word_follows_its_counts() -> None:
    words = one_by_one([("run", "V")] * 30 + [("run", "N")] * 10 + [("Rome", "N")] * 20)
    spec, tagger = counted(words, prior=1e-9)
    emissions = tagger(spec.encode(["run"]).long().unsqueeze(0))[0, 0]
    shares = torch.tensor([31.0, 31.0]) / 62  # N and V, one added to each of 30
    torch.testing.assert_close((emissions.exp() * shares), torch.tensor([0.25, 0.75]), atol=1e-5, rtol=0)


def test_an_unseen_word_follows_its_letters_and_shape() -> None:
    words = [("walking", "V"), ("talking", "V"), ("nation", "N"), ("station", "N"), ("Berlin", "NAME"), ("1998", "CD")]
    spec, tagger = counted(one_by_one(words))
    for word, tag in {"sulking": "V", "ration": "N", "Paris": "NAME", "2024": "CD"}.items():
        assert tagged(spec, tagger, word) == tag
    assert torch.isfinite(tagger(spec.encode(["☃", "我们"]).long().unsqueeze(0))).all()


def test_frequent_words_do_not_tell_endings() -> None:
    words = one_by_one([("walking", "V"), ("talking", "V"), *[("being", "N")] * 50, *[("is", "V")] * 50])
    spec, tagger = counted(words, rare=10)
    assert tagged(spec, tagger, "sulking") == "V"


def test_neighbours_decide_where_a_word_does_not() -> None:
    pairs = ["the run", "we run", "the walk", "we walk", "the run", "we sit"]
    tags = {"the": ["D", "N"], "we": ["P", "V"]}
    spec, tagger = counted([Sentence(text.split(), tags[text.split()[0]]) for text in pairs])
    assert tagged(spec, tagger, "we run") == "P V"
    assert tagged(spec, tagger, "the zzz") == "D N"


def test_transitions_are_counts_and_sum_to_one() -> None:
    sentences = [Sentence(["a", "b"], ["X", "Y"]), Sentence(["a"], ["X"])]
    _, tagger = counted(sentences, smoothing=0.5)
    decoder = tagger.decoder
    torch.testing.assert_close(decoder.start.exp(), torch.tensor([2.5, 0.5]) / 3)
    expected = torch.tensor([[0.5, 1.5, 1.5], [0.5, 0.5, 1.5]])  # to X, to Y, to the end
    steps = torch.cat([decoder.transitions, decoder.end.unsqueeze(1)], dim=1).exp()
    torch.testing.assert_close(steps, expected / expected.sum(1, keepdim=True))


def test_a_column_that_is_none_is_named() -> None:
    with pytest.raises(UserError, match=r"model\.network\.columns: found \[9\], expected numbers below 3"):
        MarkovTagger([2, 2, 2], ["A"], None, columns=[9])
