"""Search against all texts there are, on a vocabulary small enough to list them."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from tenfold.topics.transformer.decoding import Signs, beam_search, draw, greedy
from tenfold.topics.transformer.networks import Decoder, EncoderDecoder

# 0 padding, 1 start, 2 end, 3 and 4 words
SIGNS = Signs(end=2, padding=0, forbidden=(0, 1))
LENGTH = 4


def translator(seed: int = 0) -> EncoderDecoder:
    torch.manual_seed(seed)
    network = EncoderDecoder(6, 5, dim=8, encoder_layers=1, decoder_layers=1, num_heads=2).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter))
    return network


def texts() -> list[list[int]]:
    """Every text: up to an end sign, or cut off at the greatest length."""
    ended = [[*words, 2] for size in range(LENGTH) for words in product((3, 4), repeat=size)]
    return ended + [list(words) for words in product((3, 4), repeat=LENGTH)]


def log_probability(network: EncoderDecoder, source, text: list[int]) -> float:
    target = torch.tensor([[1, *text]])
    logits = network(source, target[:, :-1])
    logits[..., list(SIGNS.forbidden)] = -torch.inf
    steps = logits.log_softmax(2).take_along_dim(target[:, 1:, None], 2)
    return float(steps.sum())


def words(row: torch.Tensor) -> list[int]:
    return [token for token in row.tolist() if token != 0]


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_that_holds_all_texts_finds_the_most_probable(seed):
    network = translator(seed)
    source = torch.tensor([[3, 4, 5], [5, 1, 0]])
    with torch.no_grad():
        found = beam_search(network.advance, network.begin(source), torch.ones(2, 1).long(), 40, LENGTH, SIGNS)
        for sample, row, score in zip(source.split(1), found.tokens, found.scores, strict=True):
            scores = {tuple(text): log_probability(network, sample, text) for text in texts()}
            best = max(scores, key=scores.__getitem__)
            assert words(row) == list(best)
            assert float(score) == pytest.approx(scores[best], abs=1e-9)
            assert sum(torch.tensor(list(scores.values())).exp()) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_a_beam_of_one_is_greedy_search_and_a_wider_one_is_no_worse_when_all_ends_fit(seed):
    network = translator(seed)
    source = torch.tensor([[3, 4, 5], [5, 1, 0], [2, 2, 3]])
    begun = torch.ones(3, 1).long()
    with torch.no_grad():
        steps = greedy(network.advance, network.begin(source), begun, LENGTH, SIGNS)
        one = beam_search(network.advance, network.begin(source), begun, 1, LENGTH, SIGNS)
        all_of_them = beam_search(network.advance, network.begin(source), begun, 40, LENGTH, SIGNS)
    assert torch.equal(steps.tokens, one.tokens)
    torch.testing.assert_close(steps.scores, one.scores)
    assert (all_of_them.scores >= one.scores - 1e-9).all()


def test_greedy_search_takes_the_highest_logit_of_the_full_pass_at_each_step():
    network, source = translator(3), torch.tensor([[3, 4, 5, 1]])
    with torch.no_grad():
        found = greedy(network.advance, network.begin(source), torch.ones(1, 1).long(), LENGTH, SIGNS)
        text = [1]
        while len(text) <= LENGTH and text[-1] != 2:
            logits = network(source, torch.tensor([text]))[0, -1]
            logits[list(SIGNS.forbidden)] = -torch.inf
            text.append(int(logits.argmax()))
    assert words(found.tokens[0]) == text[1:]


def test_a_text_that_has_ended_is_padded_and_never_holds_a_forbidden_token():
    network = translator(1)
    source = torch.randint(1, 6, (40, 4))
    with torch.no_grad():
        for found in (
            greedy(network.advance, network.begin(source), torch.ones(40, 1).long(), 8, SIGNS),
            beam_search(network.advance, network.begin(source), torch.ones(40, 1).long(), 3, 8, SIGNS),
        ):
            for row in found.tokens.tolist():
                cut = row[: row.index(2) + 1] if 2 in row else row
                assert not set(cut) & set(SIGNS.forbidden)
                assert set(row[len(cut) :]) <= {0}


def test_a_translation_goes_on_from_what_is_given():
    network, source = translator(2), torch.tensor([[3, 4, 5, 1]])
    begun = torch.tensor([[1, 4, 3]])
    with torch.no_grad():
        for found in (
            greedy(network.advance, network.begin(source), begun, 2, SIGNS),
            beam_search(network.advance, network.begin(source), begun, 1, 2, SIGNS),
        ):
            logits = network(source, begun)[0, -1]
            logits[list(SIGNS.forbidden)] = -torch.inf
            assert found.tokens[0, 0] == logits.argmax()


def language_model() -> Decoder:
    torch.manual_seed(0)
    network = Decoder(7, dim=8, num_layers=1, num_heads=2, window=5).double().eval()
    with torch.no_grad():
        network.stack.embedding.weight.mul_(30)
    return network


def test_drawn_tokens_come_with_the_probabilities_of_the_model():
    network, prompt = language_model(), torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        prompts, generator = prompt.expand(20_000, -1), torch.Generator().manual_seed(0)
        many = draw(network.advance, network.begin(), prompts, 1, 0.5, (0, 1), generator)
        logits = network(prompt)[0, -1] / 0.5
    logits[:2] = -torch.inf
    found = many.flatten().bincount(minlength=7) / 20_000
    torch.testing.assert_close(found.double(), logits.softmax(0), atol=0.015, rtol=0)


def test_at_temperature_zero_the_most_probable_is_taken_and_a_seed_draws_the_same_again():
    network, prompt = language_model(), torch.tensor([[3, 4, 5]])

    def drawn(temperature: float, seed: int) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            return draw(network.advance, network.begin(), prompt, 12, temperature, (0, 1), generator)[0].tolist()

    text = prompt[0].tolist()
    for _ in range(12):
        logits = network(torch.tensor([text]))[0, -1].index_fill(0, torch.tensor([0, 1]), -torch.inf)
        text.append(int(logits.argmax()))
    assert drawn(0.0, 1) == drawn(0.0, 2) == text[3:]
    assert drawn(1.0, 1) == drawn(1.0, 1) != drawn(1.0, 2)
