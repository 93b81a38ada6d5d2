import pytest
import torch
from torch import Tensor, nn

from tenfold.errors import UserError
from tenfold.topics.classification.networks import CNN, MLP, LogisticRegression


def fit(network: nn.Module, inputs: Tensor, labels: Tensor, steps: int = 60) -> float:
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(network(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (network.eval()(inputs).argmax(1) == labels).float().mean().item()


def stripes(samples: int, size: int) -> tuple[Tensor, Tensor]:
    """Noise over horizontal (0) or vertical (1) stripes of random phase: no linear map tells them apart."""
    labels = torch.arange(samples) % 2
    phase = torch.rand(samples, 1) * 6.3
    wave = torch.sin(torch.arange(size) * 1.5 + phase)
    images = torch.where(labels.view(-1, 1, 1) == 0, wave.unsqueeze(2), wave.unsqueeze(1)).expand(-1, size, size)
    return (images + 0.3 * torch.randn(samples, size, size)).unsqueeze(1), labels


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 40, 17), (3, 224, 224)])
def test_cnn_takes_any_image_in_any_memory_layout(shape: tuple[int, int, int]) -> None:
    network = CNN(shape[0], shape[1:], num_classes=7, channels=(4, 6, 8)).eval()
    images = torch.randn(2, *shape)
    logits = network(images)
    assert logits.shape == (2, 7)
    torch.testing.assert_close(network(images.to(memory_format=torch.channels_last)), logits)


def test_cnn_refuses_more_blocks_than_the_image_can_be_halved() -> None:
    CNN(1, 8, 10, channels=(4, 4, 4))
    with pytest.raises(UserError, match=r"found 4 widths.*expected at most 3 for 8 pixels"):
        CNN(1, 8, 10, channels=(4, 4, 4, 4))


def test_cnn_classes_stripes_that_a_linear_map_cannot() -> None:
    torch.manual_seed(0)
    train, test = stripes(128, 12), stripes(256, 12)
    network = CNN(1, 12, 2, channels=(8, 16))
    assert fit(network, *train) == 1.0
    assert (network(test[0]).argmax(1) == test[1]).float().mean() > 0.95
    linear = LogisticRegression(144, 2)
    fit(linear, *train)
    assert (linear(test[0]).argmax(1) == test[1]).float().mean() < 0.7


def test_logistic_regression_starts_at_the_uniform_guess_and_flattens() -> None:
    network = LogisticRegression(12, 5)
    assert torch.equal(network(torch.randn(4, 3, 2, 2)), torch.zeros(4, 5))
    assert sum(p.numel() for p in network.parameters()) == 12 * 5 + 5


def test_mlp_learns_what_is_not_linear() -> None:
    torch.manual_seed(0)
    inputs = torch.rand(256, 2) * 2 - 1
    exclusive_or = (inputs[:, 0] * inputs[:, 1] > 0).long()
    assert fit(MLP(2, 2, hidden=(32,)), inputs, exclusive_or, steps=150) > 0.95
    assert fit(LogisticRegression(2, 2), inputs, exclusive_or, steps=150) < 0.75


def test_mlp_without_hidden_layers_is_linear() -> None:
    network = MLP(6, 3, hidden=()).eval()
    x, y = torch.randn(2, 4, 6)
    zero = network(torch.zeros(1, 6))
    torch.testing.assert_close(network(x + y), network(x) + network(y) - zero)


def test_dropout_acts_in_training_only() -> None:
    network = CNN(1, 8, 10, channels=(4, 8), dropout=0.5)
    images = torch.randn(8, 1, 8, 8)
    network.train()
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))
