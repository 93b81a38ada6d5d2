"""Attention against its formula in float64, and positions that only matter by their distance."""

from __future__ import annotations

import torch

from tenfold.topics.transformer.attention import (
    Attention,
    Cache,
    Memory,
    causal_mask,
    padding_mask,
    rotary,
    rotated,
)

torch.manual_seed(0)


def attention() -> Attention:
    torch.manual_seed(1)
    return Attention(dim=24, num_heads=3).double()


def by_hand(layer: Attention, x, m, mask):
    """Head by head and query by query."""
    out = torch.zeros_like(x)
    for sample in range(len(x)):
        for head in range(layer.num_heads):
            part = slice(8 * head, 8 * head + 8)
            queries, keys, values = (
                (state[sample] @ linear.weight.T)[:, part]
                for state, linear in ((x, layer.queries), (m, layer.keys), (m, layer.values))
            )
            queries = queries / (queries.square().mean(1, keepdim=True) + 1e-6).sqrt()
            keys = keys / (keys.square().mean(1, keepdim=True) + 1e-6).sqrt()
            for t in range(len(queries)):
                weights = (keys @ queries[t] / 8**0.5).exp() * mask[sample, t]
                out[sample, t, part] = (weights / weights.sum()) @ values
    return out @ layer.output.weight.T


def test_attention_is_the_softmax_of_products_over_what_may_be_seen():
    layer, x, m = attention(), torch.randn(2, 4, 24).double(), torch.randn(2, 5, 24).double()
    mask = torch.rand(2, 4, 5) < 0.6
    mask[..., 0] = True
    found = layer(x, layer.memory(m, mask[:, None]))
    torch.testing.assert_close(found, by_hand(layer, x, m, mask.double()))


def test_the_pictured_probabilities_are_those_that_mix_the_values():
    layer, x, m = attention(), torch.randn(2, 4, 24).double(), torch.randn(2, 5, 24).double()
    memory = layer.memory(m, torch.tensor([1, 1, 0, 1, 1]).bool()[None, None, None])
    probabilities = layer.probabilities(x, memory)
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(2, 3, 4).double())
    assert (probabilities[..., 2] == 0).all()
    mixed = (probabilities @ memory.values).transpose(1, 2).flatten(2) @ layer.output.weight.T
    torch.testing.assert_close(mixed, layer(x, memory))


def test_products_of_rotated_vectors_depend_on_their_distance_only():
    query, key = torch.randn(1, 1, 1, 8).double(), torch.randn(1, 1, 1, 8).double()

    def product(at: int, other: int) -> float:
        angles = [rotary(torch.tensor([p]), 8, torch.float64) for p in (at, other)]
        return float((rotated(query, angles[0]) * rotated(key, angles[1])).sum())

    assert abs(product(7, 3) - product(104, 100)) < 1e-4
    assert abs(product(7, 3) - product(7, 4)) > 1e-3
    torch.testing.assert_close(rotated(query, rotary(torch.tensor([5]), 8, torch.float64)).norm(), query.norm())


def test_rotation_is_that_of_complex_numbers():
    states = torch.randn(1, 1, 6, 8).double()
    turned = rotated(states, rotary(torch.arange(6), 8, torch.float64))
    angles = torch.arange(6)[:, None] * 10_000.0 ** (-torch.arange(0, 8, 2) / 8)
    expected = torch.complex(*states.chunk(2, -1)) * torch.polar(torch.ones(6, 4).double(), angles.double())
    torch.testing.assert_close(turned, torch.cat([expected.real, expected.imag], -1), atol=1e-6, rtol=0)


def test_a_causal_mask_shows_each_token_itself_and_those_before_it_within_the_window():
    seen = causal_mask(5, 5, None, torch.device("cpu"))[0, 0]
    assert torch.equal(seen, torch.ones(5, 5).tril().bool())
    last_two = causal_mask(2, 5, 3, torch.device("cpu"))[0, 0]
    assert last_two.tolist() == [[False, True, True, True, False], [False, False, True, True, True]]


def test_a_row_of_padding_only_sees_all_of_it_and_is_a_number():
    layer, tokens = attention(), torch.tensor([[3, 4, 0], [0, 0, 0]])
    mask = padding_mask(tokens, 0)
    assert mask[:, 0, 0].tolist() == [[True, True, False], [True, True, True]]
    states = torch.randn(2, 3, 24, dtype=torch.float64, requires_grad=True)
    out = layer(states, layer.memory(states, mask))
    out.sum().backward()
    assert out.isfinite().all() and states.grad.isfinite().all()


def test_a_cache_keeps_the_latest_tokens_of_its_window():
    cache = Cache(window=3)
    parts = [torch.arange(n, n + 2.0).view(1, 1, 2, 1) for n in (0, 2, 4)]
    mask = torch.ones(1, 1, 2, 1).bool()
    seen = [cache.extended(Memory(part, -part, mask)) for part in parts]
    assert [memory.keys.flatten().tolist() for memory in seen] == [[0, 1], [0, 1, 2, 3], [1, 2, 3, 4, 5]]
    assert cache.kept is not None
    assert cache.kept[1].flatten().tolist() == [-3, -4, -5]
