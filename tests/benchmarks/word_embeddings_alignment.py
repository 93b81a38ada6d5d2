"""Two embeddings brought together by a seed dictionary: precision on a disjoint one, in two languages.

    python tests/benchmarks/word_embeddings_alignment.py [--text FILE] [--languages Chinese English] [--seeds 1 2 3]
    [--epochs 10]

No dictionary between languages is at hand, so the two "languages" are halves of one corpus that share no stretch,
trained apart from different beginnings: a word's translation is the word itself, and nothing but the rotation knows it.
The 1,000 most frequent words are the seed dictionary, the next 1,000 are asked for, among all words of the other half.
Chinese is the embedded People's Daily, English the FILE, or else Python's reference.
"""

from __future__ import annotations

import argparse

import torch
from harness import plus_minus, table

from tenfold.data.text.vectors import WordVectors
from tenfold.topics.word_embeddings.alignment import Alignment, align, precision_at
from tenfold.topics.word_embeddings.data import (
    CorpusData,
    PeopleDailyText,
    PythonReference,
    TextCorpus,
    TokenStretches,
    WordSpec,
)
from tenfold.topics.word_embeddings.module import Word2Vec
from tenfold.topics.word_embeddings.networks import WordEmbedding
from tenfold.topics.word_embeddings.rates import linear_decay

FREQUENT, RATE = 1000, 0.05


def trained(
    data: CorpusData, part: TokenStretches, seed: int, epochs: int, channels: int = 100, rate: float = RATE
) -> WordVectors:
    """Skip-gram vectors of the words that occur often enough in `part`."""
    torch.manual_seed(seed)
    words = data.spec.words
    counts = torch.from_numpy(part.counts(len(words)))
    spec = WordSpec(words, tuple(counts.clamp(min=1).tolist()), seed)
    model = Word2Vec(spec, WordEmbedding(len(words), channels))
    for epoch in range(epochs):
        order = torch.randperm(len(part)).split(64)
        for number, chosen in enumerate(order):
            batch = part.fetch(chosen)
            now = linear_decay(rate, 0.004 * rate, (epoch + number / len(order)) / epochs)
            model.train_blocks(model.cutter(batch.tokens, batch.index, epoch).shuffled(), now)
    kept = (counts >= data.min_count).nonzero().squeeze(1)
    return WordVectors(tuple(words[place] for place in kept.tolist()), model.vectors().matrix[kept], counts[kept])


def halves(data: CorpusData, seed: int) -> list[TokenStretches]:
    train = data.splits["train"]
    assert isinstance(train, TokenStretches)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    return [TokenStretches(train.tokens, train.length, train.index[part]) for part in order.chunk(2)]


def one_seed(data: CorpusData, seed: int, epochs: int) -> dict[str, list[float]]:
    """Precision at 1 and at 5 by method."""
    one, two = (trained(data, part, 2 * seed + side, epochs) for side, part in enumerate(halves(data, seed)))
    shared = [word for word in data.spec.words if word in one.index and word in two.index]
    seeds, asked = ([(word, word) for word in part] for part in (shared[:FREQUENT], shared[FREQUENT : 2 * FREQUENT]))
    plain, centred = (align(one, two, seeds, centre) for centre in (False, True))
    unturned = Alignment(plain.source, plain.target, torch.eye(one.matrix.shape[1]))
    ways = {
        "no rotation": (unturned, False),
        "Procrustes": (plain, False),
        "centred": (centred, False),
        "centred, CSLS": (centred, True),
    }
    found = {name: [precision_at(way, asked, k, seeds, csls)[0] for k in (1, 5)] for name, (way, csls) in ways.items()}
    return {"chance": [k / len(two.words) for k in (1, 5)]} | found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", help="an English text; without it Python's reference")
    parser.add_argument("--languages", nargs="+", default=["Chinese", "English"], choices=["Chinese", "English"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=10)
    given = parser.parse_args()
    torch.set_num_threads(1)
    english = TextCorpus(given.text, unit="paragraph") if given.text else PythonReference()
    rows = []
    for language in given.languages:
        data: CorpusData = english if language == "English" else PeopleDailyText()
        data.setup()
        runs = [one_seed(data, seed, given.epochs) for seed in given.seeds]
        for method in runs[0]:
            scores = [plus_minus([100 * run[method][place] for run in runs]) for place in range(2)]
            rows.append([language, method, *scores])
    print(table(["language", "method", "P@1", "P@5"], rows))


if __name__ == "__main__":
    main()
