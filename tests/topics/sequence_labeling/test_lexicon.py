"""The HMM tagger's lexicon: known words by their counts, unseen words by their endings."""

import torch

from tenfold.topics.sequence_labeling.lexicon import Lexicon, shape_of
from tenfold.topics.sequence_labeling.markov_tagger import MarkovTagger

NOUN, VERB, NAME, NUMBER = range(4)
WORDS = [("walking", VERB), ("talking", VERB), ("nation", NOUN), ("station", NOUN), ("Berlin", NAME), ("1998", NUMBER)]


def tag_shares(lexicon: Lexicon, word: str) -> torch.Tensor:
    """p(tag | word), by Bayes' rule, up to the tags' own shares."""
    return lexicon.log_emissions[lexicon.encode([word])[0]].softmax(0)


def test_a_known_word_follows_its_counts() -> None:
    lexicon = Lexicon([*WORDS, *[("run", VERB)] * 30, *[("run", NOUN)] * 10], 4, prior=1e-9)
    known = lexicon.log_emissions[lexicon.encode(["run"])[0]].exp()
    tags = torch.tensor([13.0, 33.0, 2.0, 2.0]) / 50  # with one added to each of 2 + 10, 2 + 30, 1 and 1
    shares = known * tags / (known * tags).sum()
    torch.testing.assert_close(shares, torch.tensor([0.25, 0.75, 0, 0]), atol=1e-6, rtol=0)


def test_an_unseen_word_follows_its_ending_and_shape() -> None:
    lexicon = Lexicon(WORDS, 4)
    assert tag_shares(lexicon, "sulking").argmax() == VERB
    assert tag_shares(lexicon, "ration").argmax() == NOUN
    assert tag_shares(lexicon, "Paris").argmax() == NAME
    assert tag_shares(lexicon, "2024").argmax() == NUMBER
    assert torch.isfinite(lexicon.log_emissions).all()


def test_unseen_words_share_the_symbol_of_their_ending() -> None:
    lexicon = Lexicon(WORDS, 4)
    ending, same, whole = lexicon.encode(["sulking", "hulking", "walking"])
    assert ending == same >= len(lexicon.symbols) > whole
    assert lexicon.encode(["", "☃", "我们"]) == lexicon.encode(["", "☃", "我们"])
    assert max(lexicon.encode(["", "☃", "我们"])) < len(lexicon) == len(lexicon.log_emissions)


def test_frequent_words_do_not_tell_endings() -> None:
    lexicon = Lexicon([*WORDS, *[("being", NOUN)] * 50], 4, rare=10)
    assert tag_shares(lexicon, "sulking").argmax() == VERB


def test_shapes() -> None:
    assert [shape_of(word) for word in ("a1", "NATO", "Nato", "I", "nato", "...", "")] == [
        "digits", "capitals", "capital", "capital", "other", "signs", "signs",
    ]  # fmt: skip


def test_the_tagger_uses_neighbours_where_a_word_does_not_tell() -> None:
    sentences = [["the", "run"], ["we", "run"], ["the", "walk"], ["we", "walk"], ["the", "run"], ["we", "sit"]]
    tags = [["D", "N"], ["P", "V"], ["D", "N"], ["P", "V"], ["D", "N"], ["P", "V"]]
    tagger = MarkovTagger(sentences, tags)
    assert tagger.tag([["we", "run"], ["the", "zzz"], [], ["the", "run"]]) == [["P", "V"], ["D", "N"], [], ["D", "N"]]
