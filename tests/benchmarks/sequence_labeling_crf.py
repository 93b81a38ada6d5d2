"""CRF layer against pytorch-crf (`pip install 'tenfold[bench]'`): one thread, interleaved, medians of CPU time.

python tests/benchmarks/sequence_labeling_crf.py
"""

import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torchcrf import CRF as PeerCRF

from tenfold.topics.sequence_labeling.crf import CRF

SIZES = [(9, 32, 50), (9, 8, 200), (21, 32, 50), (50, 32, 50), (50, 8, 200)]  # tags, batch, length
TARGETS = {9: 3, 21: 5, 50: 12}
REPEATS = 25


def main() -> None:
    """Print one row a size, with the ratio of medians; check first that both compute the same."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="where received a uint8")
    print("| tags | batch × length | forward and backward, ms | pytorch-crf, ms | ratio | target | Viterbi ratio |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for num_tags, batch, length in SIZES:
        ours, peer = pair(num_tags)
        emissions, tags, mask = example(num_tags, batch, length)
        check_equal(ours, peer, emissions, tags, mask)
        train, train_peer = medians(
            lambda: step(ours, emissions, tags, mask), lambda: step_peer(peer, emissions, tags, mask)
        )
        fixed = emissions.detach()
        decode, decode_peer = medians(lambda: ours.decode(fixed, mask), lambda: peer.decode(fixed, mask))
        print(
            f"| {num_tags} | {batch} × {length} | {train:.2f} | {train_peer:.1f} | {train_peer / train:.1f} "
            f"| {TARGETS[num_tags]} | {decode_peer / decode:.1f} |"
        )


def pair(num_tags: int) -> tuple[CRF, PeerCRF]:
    """Both layers with the same parameters."""
    torch.manual_seed(0)
    ours, peer = CRF(num_tags), PeerCRF(num_tags, batch_first=True)
    with torch.no_grad():
        for mine, theirs in (
            ("start", "start_transitions"),
            ("transitions", "transitions"),
            ("end", "end_transitions"),
        ):
            getattr(ours, mine).copy_(getattr(peer, theirs))
    return ours, peer


def example(num_tags: int, batch: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """A length-bucketed batch: lengths from four fifths to the whole."""
    emissions = torch.randn(batch, length, num_tags, requires_grad=True)
    lengths = torch.randint(length * 4 // 5, length + 1, (batch, 1))
    lengths[0] = length
    return emissions, torch.randint(num_tags, (batch, length)), torch.arange(length) < lengths


def step(crf: CRF, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
    """Forward and backward."""
    emissions.grad = None
    loss = crf(emissions, tags, mask).sum()
    loss.backward()
    return loss


def step_peer(crf: PeerCRF, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
    """The peer's forward and backward."""
    emissions.grad = None
    loss = -crf(emissions, tags, mask, reduction="sum")
    loss.backward()
    return loss


def check_equal(ours: CRF, peer: PeerCRF, emissions: Tensor, tags: Tensor, mask: Tensor) -> None:
    """Loss, gradients and paths agree where the peer is right: on masks without holes."""
    ours.zero_grad()
    peer.zero_grad()
    loss = step(ours, emissions, tags, mask)
    gradient = emissions.grad
    torch.testing.assert_close(loss, step_peer(peer, emissions, tags, mask), rtol=1e-5, atol=1e-2)
    torch.testing.assert_close(gradient, emissions.grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ours.transitions.grad, peer.transitions.grad, rtol=1e-3, atol=1e-2)
    paths = ours.decode(emissions.detach(), mask)
    assert [path[path >= 0].tolist() for path in paths] == peer.decode(emissions.detach(), mask)


def medians(*calls: Callable[[], object], repeats: int = REPEATS) -> list[float]:
    """Milliseconds of the CPU for each call, taken in turns: the clock's, were the machine idle."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, taken in zip(calls, times, strict=True):
            begin = time.process_time()
            call()
            taken.append(1000 * (time.process_time() - begin))
    return [statistics.median(taken) for taken in times]


if __name__ == "__main__":
    main()
