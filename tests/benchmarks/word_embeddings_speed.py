"""Words a second and quality of skip-gram, CBOW and FastText beside gensim's, on the same text, settings and threads.

    python tests/benchmarks/word_embeddings_speed.py [--text FILE] [--threads 1 2] [--rounds 3] [--seeds 5] [--models
    ...] [--order text] [--set step_words=512 ...]

The text is the embedded People's Daily, or a file of English (then WordSim-353, SimLex-999 and analogies are measured
too). Held-out loss is the textbook's mean over the same pairs and noise words for both, on the test split. A round is
one epoch, called in turn. For quality both read the text in an order that is random in every epoch; with `--order text`
both as it stands, which matters where the text is of several sources. With `--set` only our vectors are trained, by
those settings of the model, and the loss is that of the validation split: so settings are ranked, and the test split
stays what it is.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from gensim.models import FastText
from gensim.models import Word2Vec as GensimWord2Vec
from harness import interleaved, plus_minus, table

from tenfold.data.base import Split
from tenfold.data.text.vectors import WordVectors
from tenfold.topics.word_embeddings.blocks import SENTENCE_END
from tenfold.topics.word_embeddings.data import CorpusData, PeopleDailyText, TextCorpus
from tenfold.topics.word_embeddings.evaluation import PACKAGED, evaluate_vectors
from tenfold.topics.word_embeddings.module import Word2Vec
from tenfold.topics.word_embeddings.networks import SubwordEmbedding, WordEmbedding
from tenfold.topics.word_embeddings.rates import linear_decay

BUCKETS, EPOCHS, STRETCHES = 200_000, 5, 64
RATES = {"skipgram": 0.035, "cbow": 0.075, "fasttext": 0.035}  # gensim: 0.025 for all; its CBOW gradient is not divided


def our_model(name: str, data: CorpusData, seed: int, **settings: Any) -> Word2Vec:
    torch.manual_seed(seed)
    words = data.spec.words
    network = SubwordEmbedding(words, buckets=BUCKETS) if name == "fasttext" else WordEmbedding(len(words))
    model = Word2Vec(data.spec, network, architecture="cbow" if name == "cbow" else "skipgram", **settings)
    model.cutter.seed = seed
    return model


def our_epoch(model: Word2Vec, data: CorpusData, epoch: int, epochs: int, start: float, order: str = "random") -> None:
    train: Any = data.splits["train"]
    places = (torch.randperm(len(train)) if order == "random" else torch.arange(len(train))).split(STRETCHES)
    for number, chosen in enumerate(places):
        batch = train.fetch(chosen)
        rate = linear_decay(start, start * 0.004, (epoch + number / len(places)) / epochs)
        blocks = model.cutter(batch.tokens, batch.index, epoch)
        model.train_blocks(blocks.shuffled() if order == "random" else blocks, rate)


def their_sentences(data: CorpusData) -> list[list[str]]:
    """The training stretches as gensim takes text."""
    words, sentences = data.spec.words, []
    for start in range(len(data.splits["train"])):
        row = data.splits["train"].fetch(torch.tensor([start])).tokens[0].numpy()
        for part in np.split(row, np.flatnonzero(row == SENTENCE_END)):
            if len(part[part >= 0]):
                sentences.append([words[token] for token in part[part >= 0]])
    return sentences


class Shuffled:
    """Sentences, each time in another random order: gensim goes through them once an epoch."""

    def __init__(self, sentences: list[list[str]], seed: int) -> None:
        self.sentences, self.random = sentences, random.Random(seed)

    def __iter__(self) -> Iterator[list[str]]:
        return iter(self.random.sample(self.sentences, len(self.sentences)))

    def __len__(self) -> int:
        return len(self.sentences)


def their_model(name: str, sentences: list[list[str]], seed: int, threads: int) -> Any:
    settings = {"vector_size": 100, "window": 5, "negative": 5, "sample": 1e-3, "min_count": 1, "workers": threads}
    kind, extra = (FastText, {"bucket": BUCKETS}) if name == "fasttext" else (GensimWord2Vec, {})
    model = kind(sg=int(name != "cbow"), seed=seed, epochs=EPOCHS, **settings, **extra)
    model.build_vocab(sentences)
    return model


def train_theirs(model: Any, sentences: list[list[str]] | Shuffled, epochs: int) -> None:
    model.train(sentences, total_examples=len(sentences), epochs=epochs)


def _rows(matrix: np.ndarray, order: list[int]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([matrix, np.zeros_like(matrix[:1])])[order])


def held_out(name: str, data: CorpusData, split: Split, inputs: torch.Tensor, outputs: torch.Tensor) -> float:
    """Mean textbook loss on a split, of vectors in the order of our vocabulary."""
    judge = our_model("skipgram" if name == "fasttext" else name, data, seed=0)
    judge.network.inputs.weight.data, judge.network.outputs.data = inputs, outputs
    total = weight = 0.0
    with torch.no_grad():
        for chosen in torch.arange(len(data.splits[split])).split(8):
            loss, number = judge.loss_of(judge.cut(data.splits[split].fetch(chosen)))
            total, weight = total + float(loss), weight + float(number)
    return total / weight


def speed(name: str, data: CorpusData, sentences: list[list[str]], threads: int, rounds: int) -> list[str]:
    torch.set_num_threads(1)  # ours has workers, as theirs
    ours, theirs = our_model(name, data, 1, workers=threads), their_model(name, sentences, 1, threads)
    seconds = interleaved(
        {
            "ours": lambda: our_epoch(ours, data, 0, EPOCHS, RATES[name]),
            "gensim": lambda: train_theirs(theirs, sentences, 1),
        },
        rounds,
    )
    number = sum(map(len, sentences))
    rates = {who: number / taken / 1000 for who, taken in seconds.items()}
    return [
        name,
        str(threads),
        f"{rates['ours']:.0f}k",
        f"{rates['gensim']:.0f}k",
        f"{rates['ours'] / rates['gensim']:.2f}",
    ]


def our_vectors(
    name: str, data: CorpusData, seed: int, order: str = "random", **settings: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and outputs after `EPOCHS` epochs."""
    torch.set_num_threads(1)
    ours = our_model(name, data, seed, **settings)
    for epoch in range(EPOCHS):
        our_epoch(ours, data, epoch, EPOCHS, RATES[name], order)
    return ours.vectors().matrix, ours.network.outputs.data


def their_vectors(
    sentences: list[list[str]], name: str, data: CorpusData, seed: int, order: str = "random"
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same of gensim's, in the order of our vocabulary."""
    theirs = their_model(name, sentences, seed, 1)
    train_theirs(theirs, Shuffled(sentences, seed) if order == "random" else sentences, EPOCHS)
    order = [theirs.wv.key_to_index.get(word, -1) for word in data.spec.words]  # -1: of the held-out text only
    return _rows(theirs.wv.vectors, order), _rows(theirs.syn1neg, order)


def setting(name: str, data: CorpusData, settings: dict[str, int | str]) -> list[str]:
    """Validation loss of ours after `EPOCHS` epochs with `settings`, from one seed."""
    loss = held_out(name, data, "val", *our_vectors(name, data, 1, **settings))
    return [name, " ".join(f"{key}={value}" for key, value in settings.items()), f"{loss:.4f}"]


def quality(
    who: str, name: str, data: CorpusData, sentences: list[list[str]], seed: int, sets: list[str], order: str
) -> list[float]:
    """Test scores of ours or of gensim's after `EPOCHS` epochs from one seed: held-out loss, then each set."""
    train = our_vectors if who == "ours" else partial(their_vectors, sentences)
    inputs, outputs = train(name, data, seed, order)
    judged = evaluate_vectors(WordVectors(data.spec.words, inputs), sets)
    return [held_out(name, data, "test", inputs, outputs), *(judged[one].value for one in sets)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=list(RATES), choices=list(RATES))
    parser.add_argument("--of", nargs="+", default=["ours", "gensim"], choices=["ours", "gensim"], help="whose quality")
    parser.add_argument("--order", default="random", choices=["random", "text"])
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    data = TextCorpus(given.text, unit="paragraph") if given.text else PeopleDailyText()
    data.setup()
    sentences, sets = their_sentences(data), list(PACKAGED) if given.text else []
    print(f"{sum(map(len, sentences)):,} words, {len(data.spec.words):,} distinct\n")
    if given.set:
        pairs = (one.partition("=") for one in given.set)
        settings = {key: int(value) if value.isdigit() else value for key, _, value in pairs}
        print(table(["model", "settings", "validation loss"], [setting(name, data, settings) for name in given.models]))
        return
    if given.rounds:
        rows = [
            speed(name, data, sentences, threads, given.rounds) for threads in given.threads for name in given.models
        ]
        print(table(["model", "threads", "words/s", "gensim", "ratio"], rows), flush=True)
    rows = []
    for name in given.models if given.seeds else []:
        for who in given.of:
            runs = [quality(who, name, data, sentences, seed, sets, given.order) for seed in range(1, given.seeds + 1)]
            rows.append([name, who, *(plus_minus(scores, 4) for scores in zip(*runs, strict=True))])
    if rows:
        print("\n" + table(["model", "of", "held-out loss", *sets], rows))


if __name__ == "__main__":
    main()
