import numpy as np
import pytest
import torch

from tenfold.topics.conditional_generation.copies import longest_shared_runs
from tenfold.topics.conditional_generation.pictures import copies
from tenfold.topics.conditional_generation.text_networks import ConditionalGRU, ConditionalTransformer
from tenfold.topics.conditional_generation.text_sampling import END, Choice, drawn, generate, nucleus
from tenfold.topics.conditional_generation.writing import joined, table

VOCABULARY, CLASSES = 11, 2


def _network(kind):
    torch.manual_seed(0)
    if kind == "gru":
        network = ConditionalGRU(VOCABULARY, CLASSES, embedding_dim=8, hidden_size=12, num_layers=2)
    else:
        network = ConditionalTransformer(VOCABULARY, CLASSES, dim=16, num_layers=2, num_heads=2)
    for parameter in network.parameters():  # layers that start at zero would hide a leak
        torch.nn.init.normal_(parameter, std=0.3)
    return network.double().eval()


@pytest.fixture(params=["gru", "transformer"])
def network(request):
    return _network(request.param)


TOKENS = torch.tensor([[0, 3, 5, 7, 2, 9], [0, 4, 4, 2, 10, 6]])
LABELS = torch.tensor([0, 1])


def test_no_logit_sees_a_later_token(network):
    before = network(TOKENS, LABELS)
    changed = TOKENS.clone()
    changed[:, 3] = 8
    after = network(changed, LABELS)
    torch.testing.assert_close(after[:, :3], before[:, :3], rtol=0, atol=1e-12)
    assert (after[:, 3:] != before[:, 3:]).any(2).all()


def test_the_label_reaches_every_position(network):
    difference = network(TOKENS, LABELS) - network(TOKENS, 1 - LABELS)
    assert (difference.abs().amax(2) > 1e-6).all()


def test_a_few_tokens_at_a_time_give_the_logits_of_all_at_once(network):
    whole = network(TOKENS, LABELS)
    state, parts = network.begin(LABELS), []
    for piece in TOKENS.split([1, 1, 3, 1], dim=1):
        logits, state = network.advance(piece, state)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=0, atol=1e-10)


def test_generation_is_the_most_probable_token_of_the_full_forward_pass(network):
    choice = Choice(temperature=0, guidance=2.0)
    found = generate(network, LABELS, CLASSES, 6, choice, torch.Generator().manual_seed(0))
    tokens = torch.full((2, 1), END)
    for step in range(6):
        conditional = network(tokens, LABELS)[:, -1].log_softmax(1)
        empty = network(tokens, torch.full_like(LABELS, CLASSES))[:, -1].log_softmax(1)
        logits = empty + 2 * (conditional - empty)
        logits[:, 1] = -torch.inf
        if step == 0:
            logits[:, END] = -torch.inf
        token = logits.argmax(1)
        token = torch.where((tokens[:, 1:] == END).any(1), END, token)
        tokens = torch.cat([tokens, token.unsqueeze(1)], 1)
    assert torch.equal(found, tokens[:, 1:])


def test_a_seed_decides_the_text_and_nothing_follows_its_end(network):
    labels = torch.arange(40) % 2
    first, second = (
        generate(network, labels, CLASSES, 12, Choice(), torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(first, second)
    ended = (first == END).cumsum(1) > 0
    assert ended.any()
    assert (first[ended] == END).all()
    assert (first[:, 0] != END).all()
    assert (first != 1).all()  # nothing unknown


def test_the_nucleus_is_the_fewest_tokens_that_hold_the_share():
    probabilities = torch.tensor([[0.1, 0.5, 0.15, 0.25], [0.97, 0.01, 0.01, 0.01]], dtype=torch.float64)
    kept = nucleus(probabilities, 0.7)
    expected = torch.tensor([[0, 0.5 / 0.75, 0, 0.25 / 0.75], [1, 0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(kept, expected)
    assert nucleus(probabilities, 1.0) is probabilities


def test_tokens_are_drawn_by_their_tempered_probabilities():
    logits = torch.tensor([0.3, 9.0, 1.0, -0.5, 0.0], dtype=torch.float64)
    size = 40_000
    tokens = drawn(logits.expand(size, -1), Choice(temperature=0.5), torch.Generator().manual_seed(0))
    masked = logits.clone()
    masked[1] = -torch.inf  # unknown
    expected = (masked / 0.5).softmax(0)
    found = tokens.bincount(minlength=5).double() / size
    torch.testing.assert_close(found, expected, atol=0.01, rtol=0)
    assert float(found[1]) == 0


def _brute_force(text, training):
    best = 0
    for start in range(len(text)):
        for stop in range(start + 1, len(text) + 1):
            run = text[start:stop]
            if any(run == other[i : i + len(run)] for other in training for i in range(len(other))):
                best = max(best, len(run))
    return best


def test_shared_runs_are_those_of_a_search_of_every_run():
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(0, 15, (24,), generator=generator).tolist()
    texts = [torch.randint(2, 5, (size,), generator=generator).tolist() for size in sizes]
    ours, training = texts[:12], texts[12:]
    assert longest_shared_runs(ours, training).tolist() == [_brute_force(text, training) for text in ours]


def test_a_run_does_not_go_on_from_one_training_text_into_the_next():
    assert longest_shared_runs([[5, 6, 7, 8], []], [[4, 5, 6], [7, 8, 9]]).tolist() == [2, 0]


def test_tokens_become_a_line_of_text():
    assert joined(["很", "好", "windows", "xp", "的", "，"], "characters") == "很好windows xp的，"
    assert joined(["a", "fine", "film", ",", "i", "say", "."], "words") == "a fine film, i say."
    assert "&#124;" in table(["a|b"], ["text"])


def test_the_picture_of_copies_names_both_means_and_both_greatest():
    drawn = copies(np.array([2, 3, 7]), np.array([1, 1, 4]))
    names = [text.get_text() for text in drawn.axes[0].get_legend().get_texts()]
    assert names == ["unseen reviews: 2.0 in the mean, 4 at most", "generated: 4.0 in the mean, 7 at most"]
    heights = drawn.axes[0].lines[1].get_ydata()
    assert heights[[2, 3, 7]] == pytest.approx([1 / 3] * 3) and sum(heights) == pytest.approx(1)
