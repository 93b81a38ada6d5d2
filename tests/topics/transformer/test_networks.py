"""What both Transformers promise: no leak from the future, none from padding, and a cache that changes nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tenfold.errors import UserError
from tenfold.topics.transformer.networks import Decoder, EncoderDecoder


def shaken(build, *args, **options):
    """A network with every parameter random, those that start at zero as well; the same in each call."""
    torch.manual_seed(2)
    network = build(*args, **options)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return network.double().eval()


def decoder(window: int = 100) -> Decoder:
    return shaken(Decoder, vocab_size=11, dim=16, num_layers=2, num_heads=2, window=window)


def translator() -> EncoderDecoder:
    return shaken(EncoderDecoder, source_vocab_size=9, target_vocab_size=11, dim=16, num_heads=2)


def tokens(*shape: int, high: int = 9) -> Tensor:
    return torch.randint(1, high, shape, generator=torch.Generator().manual_seed(0))


def test_a_later_token_changes_no_logits_before_it():
    text, source = tokens(2, 8), tokens(2, 5)
    network = translator()
    for call in (decoder(), lambda target: network(source, target)):
        before = call(text)
        for t in range(8):
            changed = text.clone()
            changed[:, t] = changed[:, t] % 8 + 1
            after = call(changed)
            assert torch.equal(after[:, :t], before[:, :t])
            assert not torch.allclose(after[:, t:], before[:, t:])


def test_padding_changes_nothing():
    source, target = tokens(1, 5), tokens(1, 4)
    network = translator()
    alone = network(source, target)
    longer = torch.cat([torch.cat([source, torch.zeros(1, 3).long()], 1), tokens(1, 8)])
    both = network(longer, torch.cat([torch.cat([target, torch.zeros(1, 2).long()], 1), tokens(1, 6)]))
    torch.testing.assert_close(both[:1, :4], alone)
    text = tokens(1, 6)
    torch.testing.assert_close(decoder()(torch.cat([text, torch.zeros(1, 4).long()], 1))[:, :6], decoder()(text))


def test_a_source_of_padding_only_gives_numbers_and_gradients_that_are():
    network = translator()
    logits = network(torch.zeros(2, 4).long(), tokens(2, 3))
    logits.sum().backward()
    assert logits.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("cuts", [[1] * 9, [3, 1, 1, 4], [9]])
@pytest.mark.parametrize("window", [100, 4])
def test_cached_steps_give_the_logits_of_the_full_pass(cuts, window):
    text, network = tokens(2, 9), decoder(window)
    state = network.begin()
    steps = [network.advance(part, state) for part in text.split(cuts, 1)]
    torch.testing.assert_close(torch.cat(steps, 1), network(text))
    assert state.length == 9


def test_cached_steps_of_a_translation_give_the_logits_of_the_full_pass():
    network, target = translator(), tokens(2, 7)
    source = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]])
    state = network.begin(source)
    steps = [network.advance(target[:, t : t + 1], state) for t in range(7)]
    torch.testing.assert_close(torch.cat(steps, 1), network(source, target))


def test_a_reordered_state_goes_on_with_the_samples_asked_for():
    network, target, rows = translator(), tokens(3, 6), torch.tensor([2, 0, 0, 1])
    source = torch.tensor([[1, 2, 3], [5, 6, 0], [7, 0, 0]])
    state = network.begin(source)
    network.advance(target[:, :4], state)
    state.reorder(rows)
    torch.testing.assert_close(network.advance(target[rows, 4:], state), network(source, target)[rows, 4:])


def test_a_window_hides_what_is_before_it():
    network, text = decoder(window=3), tokens(1, 8)
    other = text.clone()
    other[:, 0] = other[:, 0] % 8 + 1
    assert torch.equal(network(other)[:, 5:], network(text)[:, 5:])  # two layers see twice two tokens back


def test_input_and_output_embeddings_are_one_tensor():
    network = decoder()
    names = [name for name, p in network.named_parameters() if p.shape[0] == 11]
    assert names == ["stack.embedding.weight"]
    states = torch.randn(1, 2, 16).double()
    torch.testing.assert_close(network.stack.logits(states), states @ network.stack.embedding.weight.T)


def test_position_matters():
    network, text = decoder(), torch.tensor([[3, 4, 5, 3, 4, 5]])
    swapped = torch.tensor([[4, 3, 5, 3, 4, 5]])
    assert not torch.allclose(network(text)[:, -1], network(swapped)[:, -1])


def test_an_odd_width_is_refused():
    with pytest.raises(UserError, match=r"model.network.dim: found 18, expected a multiple of 8"):
        Decoder(vocab_size=5, dim=18, num_heads=4)
