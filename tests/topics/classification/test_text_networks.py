import pytest
import torch
from torch.nn import functional

from tenfold.errors import UserError
from tenfold.topics.classification.text_networks import BagOfEmbeddings, TextCNN, TextRNN

VARIANTS = [
    (BagOfEmbeddings, {"order": 1}),
    (BagOfEmbeddings, {"order": 3, "buckets": 500}),
    (TextCNN, {}),
    (TextCNN, {"kernel_sizes": (2, 5)}),
    (TextRNN, {}),
    (TextRNN, {"cell": "lstm", "num_layers": 2}),
]


@pytest.fixture(params=VARIANTS, ids=lambda variant: f"{variant[0].__name__}-{variant[1]}")
def network(request):
    torch.manual_seed(0)
    cls, arguments = request.param
    return cls(vocab_size=30, num_classes=3, padding_idx=0, **arguments).eval()


@pytest.fixture
def tokens():
    tokens = torch.randint(1, 30, (4, 9), generator=torch.Generator().manual_seed(1))
    tokens[1, 5:] = 0
    tokens[2, 1:] = 0
    return tokens


def test_more_padding_changes_nothing(network, tokens):
    torch.testing.assert_close(network(functional.pad(tokens, (0, 6))), network(tokens))


def test_a_text_alone_is_as_in_a_batch(network, tokens):
    alone = torch.cat([network(row[row != 0].unsqueeze(0)) for row in tokens])
    torch.testing.assert_close(alone, network(tokens))


def test_every_token_counts_and_none_of_another_text(network, tokens):
    network.embedding.weight.data.mul_(30)  # so that a maximum over time moves wherever a token does
    logits = network(tokens)
    for position in range(5):
        changed = tokens.clone()
        changed[1, position] = changed[1, position] % 29 + 1
        moved = (network(changed) - logits).abs().amax(1) > 1e-6
        assert moved.tolist() == [False, True, False, False]


def test_padding_embedding_stays_zero(network, tokens):
    network.train()
    network(tokens).square().sum().backward()
    assert network.embedding.weight[0].count_nonzero() == 0
    assert network.embedding.weight.grad[0].count_nonzero() == 0
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_padding_only_is_finite(network):
    assert network(torch.zeros(2, 3, dtype=torch.long)).isfinite().all()


def test_learns_to_tell_texts_apart(network):
    generator = torch.Generator().manual_seed(2)
    tokens = torch.randint(6, 30, (120, 8), generator=generator)
    labels = torch.arange(120) % 3
    tokens[torch.arange(120), torch.randint(8, (120,), generator=generator)] = labels + 3  # one telling token each
    optimizer = torch.optim.AdamW(network.train().parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        functional.cross_entropy(network(tokens), labels).backward()
        optimizer.step()
    assert (network.eval()(tokens).argmax(1) == labels).float().mean() > 0.95


def test_recurrence_reads_the_order_both_ways():
    torch.manual_seed(0)
    network = TextRNN(vocab_size=30, num_classes=3).eval()
    reversed_ = torch.tensor([[5, 4, 3, 0, 0]])
    # With one network in both directions, a text and its mirror image swap the halves of the pooled states.
    network.backwards.load_state_dict(network.forwards.state_dict())
    pooled = []
    network.head.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
    network(torch.tensor([[3, 4, 5]]))
    network(reversed_)
    forwards, backwards = pooled[1].chunk(2, dim=1)
    torch.testing.assert_close(pooled[0], torch.cat([backwards, forwards], dim=1))
    assert not torch.allclose(forwards, backwards)


def test_bag_of_order_one_is_the_sum_over_the_root_of_the_number():
    network = BagOfEmbeddings(vocab_size=5, num_classes=2, embedding_dim=3, order=1).eval()
    pooled = network.embedding.weight[[2, 4, 4]].sum(0) / 3**0.5
    torch.testing.assert_close(network(torch.tensor([[2, 4, 4, 0]]))[0], network.head[1](pooled))


def test_ngrams_are_those_of_the_text_and_tell_order():
    network = BagOfEmbeddings(vocab_size=50, num_classes=2, order=3, buckets=1_000_003)
    first, second = network._ngrams(torch.tensor([[3, 4, 5, 3, 4], [5, 4, 3, 0, 0]]))
    single, pairs, triples = first.view(3, 5)
    assert single.tolist() == [3, 4, 5, 3, 4]
    assert pairs[0] == pairs[3]
    assert pairs[4] == 0  # a pair would reach beyond the end
    assert (triples == 0).tolist() == [False, False, False, True, True]
    assert len({*pairs[:3].tolist(), *triples[:3].tolist()}) == 6
    assert (second != 0).sum() == 3 + 2 + 1
    assert not set(second.view(3, 5)[1:].flatten().tolist()) & set(first.view(3, 5)[1:, :3].flatten().tolist())


def test_ngrams_spread_evenly_over_the_buckets():
    network = BagOfEmbeddings(vocab_size=300, num_classes=2, order=2, buckets=1024)
    pairs = torch.cartesian_prod(torch.arange(1, 300), torch.arange(1, 300))
    counts = (network._ngrams(pairs).view(-1, 2, 2)[:, 1, 0] - 300).bincount(minlength=1024).double()
    assert counts.var() < 2 * counts.mean()  # a Poisson count has a variance equal to its mean


def test_unknown_cell_is_refused():
    with pytest.raises(UserError, match="cell: found 'rnn', expected gru or lstm"):
        TextRNN(vocab_size=5, num_classes=2, cell="rnn")
