"""HMM expectation–maximisation against hmmlearn (`pip install 'tenfold[bench]'`): one thread, interleaved, medians
of CPU time.

    python tests/benchmarks/sequence_labeling_hmm.py

Both run in float64 on the same sequences from the same parameters, and must come to the same likelihoods, parameters
and paths.
"""

from __future__ import annotations

import copy
import logging
import warnings

import numpy as np
import torch
from harness import table
from hmmlearn.hmm import CategoricalHMM
from sequence_labeling_crf import medians

from tenfold.topics.sequence_labeling.hmm import HMM

SIZES = [(5, 200, 400), (20, 1000, 400), (45, 2000, 400)]  # tags, symbols, sequences
TARGET = 15


def main() -> None:
    """Print one row a size, with the ratio of the medians of one iteration."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.getLogger("hmmlearn").setLevel(logging.ERROR)
    rows = []
    for num_tags, num_symbols, count in SIZES:
        sequences = corpus(count, num_symbols)
        torch.manual_seed(0)
        hmm = HMM(num_tags, num_symbols).double()
        check_equal(hmm, sequences)
        batches = hmm.pack(sequences)
        contestants = {"tenfold": lambda hmm=hmm, batches=batches: copy.deepcopy(hmm).fit(batches, max_iterations=1)}
        for implementation in ("log", "scaling"):
            peer, flat, lengths = peer_of(hmm, sequences, 1, implementation)
            contestants[implementation] = lambda peer=peer, flat=flat, lengths=lengths: peer.fit(flat, lengths)
        taken = dict(zip(contestants, medians(*contestants.values(), repeats=7), strict=True))
        tokens = sum(map(len, sequences))
        ratios = [f"{taken[name] / taken['tenfold']:.1f}" for name in ("log", "scaling")]
        rows.append([num_tags, num_symbols, tokens, f"{taken['tenfold']:.1f}", *ratios, TARGET])
    head = [
        "tags",
        "symbols",
        "tokens",
        "EM iteration, ms",
        "× hmmlearn (log, its default)",
        "× hmmlearn (scaling)",
        "target",
    ]
    print(table(head, rows))


def corpus(count: int, num_symbols: int) -> list[torch.Tensor]:
    """Sentences of 5 to 60 symbols, of Zipf's distribution."""
    generator = torch.Generator().manual_seed(0)
    weights = 1 / torch.arange(1.0, num_symbols + 1)
    lengths = torch.randint(5, 61, (count,), generator=generator).tolist()
    return [torch.multinomial(weights, length, replacement=True, generator=generator) for length in lengths]


def peer_of(
    hmm: HMM, sequences: list[torch.Tensor], iterations: int, implementation: str
) -> tuple[CategoricalHMM, np.ndarray, list[int]]:
    """hmmlearn's model with the same parameters, and the sequences as it takes them."""
    peer = CategoricalHMM(len(hmm.start), n_iter=iterations, tol=-np.inf, init_params="", implementation=implementation)
    peer.n_features = len(hmm.emissions)
    peer.startprob_, peer.transmat_, peer.emissionprob_ = (
        buffer.exp().numpy() for buffer in (hmm.start, hmm.transitions, hmm.emissions.t())
    )
    return peer, torch.cat(sequences).unsqueeze(1).numpy(), [len(sequence) for sequence in sequences]


def check_equal(hmm: HMM, sequences: list[torch.Tensor]) -> None:
    """Three iterations give the same likelihoods, parameters and paths."""
    ours = copy.deepcopy(hmm)
    history = ours.fit(ours.pack(sequences), max_iterations=3, tolerance=-np.inf)
    peer, flat, lengths = peer_of(hmm, sequences, 3, "log")
    peer.fit(flat, lengths)
    np.testing.assert_allclose(history, list(peer.monitor_.history), rtol=1e-9)
    np.testing.assert_allclose(ours.transitions.exp(), peer.transmat_, atol=1e-9)
    np.testing.assert_allclose(ours.emissions.exp().t(), peer.emissionprob_, atol=1e-9)
    longest = max(sequences, key=len)
    path = ours.decode(longest.unsqueeze(0), torch.ones(1, len(longest), dtype=torch.bool))[0]
    assert path.tolist() == peer.decode(longest.unsqueeze(1).numpy())[1].tolist()


if __name__ == "__main__":
    main()
