"""Training throughput of the BiLSTM-CRF against the same network with pytorch-crf on top: one thread, interleaved,
medians of CPU time.

    python tests/benchmarks/sequence_labeling_throughput.py
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from harness import table
from sequence_labeling_crf import medians
from torch import Tensor, nn
from torchcrf import CRF as PeerCRF

from tenfold.topics.sequence_labeling.networks import RecurrentTagger

VOCABULARIES = [5000, 800, 60]  # of a token's columns
SIZES = [(9, 16, 25), (9, 32, 50), (21, 32, 50), (50, 32, 50)]  # tags, sentences, tokens of the longest


class Peer(nn.Module):
    """pytorch-crf behind the decoder's interface."""

    def __init__(self, num_tags: int) -> None:
        super().__init__()
        self.crf = PeerCRF(num_tags, batch_first=True)

    def forward(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        return -self.crf(emissions, tags.where(mask, 0), mask, reduction="none")


def main() -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    rows = []
    for num_tags, batch, length in SIZES:
        lengths = torch.randint(length * 4 // 5, length + 1, (batch, 1), generator=torch.Generator().manual_seed(0))
        mask = torch.arange(length) < lengths
        inputs = torch.stack([torch.randint(2, size, mask.shape) for size in VOCABULARIES], dim=2)
        inputs = inputs.masked_fill(~mask.unsqueeze(2), 0)
        tags = torch.randint(num_tags, mask.shape)
        ours, peer = network(num_tags), network(num_tags)
        peer.decoder = Peer(num_tags)
        taken = medians(*(stepper(net, inputs, tags, mask) for net in (ours, peer)))
        mine, theirs = (1000 * int(mask.sum()) / milliseconds for milliseconds in taken)
        rows.append([num_tags, f"{batch} × {length}", f"{mine:,.0f}", f"{theirs:,.0f}", f"{mine / theirs:.2f}"])
    print(table(["tags", "batch × length", "tokens/s", "with pytorch-crf", "ratio"], rows))


def network(num_tags: int) -> RecurrentTagger:
    torch.manual_seed(0)
    return RecurrentTagger(VOCABULARIES, [str(k) for k in range(num_tags)], None)


def stepper(net: nn.Module, inputs: Tensor, tags: Tensor, mask: Tensor) -> Callable[[], None]:
    """One optimizer step a call."""
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        (net.decoder(net(inputs), tags, mask).sum() / mask.sum()).backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
