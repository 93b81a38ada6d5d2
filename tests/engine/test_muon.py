import io

import pytest
import torch
from torch import Tensor, nn

from tenfold.engine.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(8, 8), (5, 30), (30, 5), (3, 16, 40)])
def test_orthogonalise_keeps_the_singular_vectors_and_levels_the_values(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape) * 7
    result = orthogonalise(matrix)
    assert result.shape == matrix.shape
    values = torch.linalg.svdvals(result)
    assert values.max() < 1.3 and values.median() > 0.6
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    core = u.mT @ result @ v.mT  # diagonal where the singular vectors are the same
    torch.testing.assert_close(core, torch.diag_embed(core.diagonal(dim1=-2, dim2=-1)), atol=1e-3, rtol=0)


def test_matrices_agree_with_torch_muon() -> None:
    torch.manual_seed(0)
    ours, theirs = ([nn.Parameter(w.clone()) for w in (torch.ones(6, 10), torch.ones(20, 4))] for _ in range(2))
    common = {"lr": 0.01, "weight_decay": 0.1, "momentum": 0.9}
    optimizers = Muon(ours, **common), torch.optim.Muon(theirs, **common, adjust_lr_fn="match_rms_adamw")
    for _ in range(5):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for a, b in zip(ours, theirs, strict=True):  # torch's runs in bfloat16 everywhere
        torch.testing.assert_close(a, b, atol=2e-3, rtol=2e-2)


def test_a_kernel_moves_as_its_flattened_matrix_and_shapes_may_mix() -> None:
    torch.manual_seed(0)
    start, gradient = torch.randn(2, 6, 4, 3, 3)
    kernel = nn.Parameter(start.contiguous(memory_format=torch.channels_last))
    matrix, other = nn.Parameter(start.flatten(1).clone()), nn.Parameter(torch.ones(6, 36))
    optimizer = Muon([kernel, matrix, other], lr=0.1)
    kernel.grad, matrix.grad, other.grad = gradient, gradient.flatten(1), torch.randn(6, 36)
    optimizer.step()
    torch.testing.assert_close(kernel.flatten(1), matrix)
    assert not torch.allclose(matrix, start.flatten(1))


def test_vectors_and_marked_groups_agree_with_torch_adamw() -> None:
    torch.manual_seed(0)
    starts = [torch.randn(7), torch.randn(5, 3)]
    ours, theirs = ([nn.Parameter(w.clone()) for w in starts] for _ in range(2))
    settings = {"lr": 0.01, "weight_decay": 0.1, "betas": (0.8, 0.9)}
    optimizers = (
        Muon([{"params": ours[:1]}, {"params": ours[1:], "adamw": True}], **settings),
        torch.optim.AdamW(theirs, **settings),
    )
    for _ in range(4):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def network_and_optimizer() -> tuple[nn.Module, Muon]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.GELU(), nn.Flatten(), nn.Linear(8 * 16, 3))
    return network, Muon(network.parameters(), lr=0.02)


def steps(network: nn.Module, optimizer: Muon, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.randn(30, 1, 6, 6, generator=generator), torch.arange(30) % 3
    for _ in range(count):
        loss = nn.functional.cross_entropy(network(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.detach()


def test_it_trains_and_resumes_from_a_file_of_plain_tensors() -> None:
    network, optimizer = network_and_optimizer()
    first = steps(network, optimizer, 1)
    steps(network, optimizer, 9)
    file = io.BytesIO()
    torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    last = steps(network, optimizer, 10)
    assert last < 0.2 * first

    saved = torch.load(file, weights_only=True)
    resumed, resumed_optimizer = network_and_optimizer()
    resumed.load_state_dict(saved["network"])
    resumed_optimizer.load_state_dict(saved["optimizer"])
    assert torch.equal(steps(resumed, resumed_optimizer, 10), last)


def test_parameters_without_gradient_stay() -> None:
    used, unused = nn.Parameter(torch.ones(3, 3)), nn.Parameter(torch.ones(3, 3))
    used.grad = torch.randn(3, 3)
    Muon([used, unused]).step()
    assert torch.equal(unused, torch.ones(3, 3)) and not torch.equal(used, torch.ones(3, 3))
