"""Predicting: lines of raw text, very long ones too, as JSON and in colours."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from tenfold.engine.request import Request
from tenfold.errors import UserError
from tenfold.topics.sequence_labeling.decoders import Softmax
from tenfold.topics.sequence_labeling.module import SpanTagger, Tagger, View
from tenfold.topics.sequence_labeling.networks import LinearTagger, RecurrentTagger
from tenfold.topics.sequence_labeling.spec import MOST_TOKENS, TaggingSpec
from tenfold.topics.sequence_labeling.terminal import coloured
from tenfold.topics.sequence_labeling.transformer import TransformerTagger


def spec_of(**values) -> TaggingSpec:
    known = {
        "tags": ("O", "B-X", "I-X", "E-X", "S-X"),
        "scheme": "bioes",
        "unit": "word",
        "tokenizer": "words",
        "vocabularies": (("<pad>", "<unk>", "oslo", "to"),) * 8,
        "characters": ("<pad>", "<unk>", "o"),
        "max_characters": 3,
    }
    return TaggingSpec(**(known | values))


def finder(spec: TaggingSpec) -> SpanTagger:
    """Says S-X of `oslo`, O of all else."""
    sizes = [len(vocabulary) for vocabulary in spec.vocabularies]
    network = LinearTagger(sizes, spec.tags, spec.scheme, window=0)
    with torch.no_grad():
        network.bias[0] = 1.0
        network.features.weights[0].weight[2, 4] = 9.0
    return SpanTagger(spec, network).eval()


def answers(module: Tagger, folder: Path, text: str, **options) -> list:
    (folder / "in.txt").write_text(text, encoding="utf-8")
    with torch.inference_mode():
        return list(module.predict(Request([str(folder / "in.txt")], 2, options=View(**options))))


def test_a_line_gives_its_tokens_tags_and_spans(tmp_path: Path) -> None:
    found = answers(finder(spec_of()), tmp_path, "We go to Oslo.\n\nOslo\n")
    assert found[0] == {
        "input": "We go to Oslo.",
        "tokens": ["We", "go", "to", "Oslo", "."],
        "tags": ["O", "O", "O", "S-X", "O"],
        "spans": [{"start": 3, "stop": 4, "type": "X", "text": "Oslo"}],
    }
    assert found[1]["tags"] == ["S-X"]
    assert len(found) == 2


def test_the_likeliest_sequences_are_told_with_their_probabilities(tmp_path: Path) -> None:
    """A token alone is O or S-X, whose scores differ by 8: no third is possible."""
    oslo, empty = answers(finder(spec_of()), tmp_path, "Oslo\n☃ ☃\n", n=3)
    best, second = oslo["n_best"]
    assert [best["tags"], second["tags"]] == [oslo["tags"], ["O"]]
    assert best["spans"] == oslo["spans"] and second["spans"] == []
    assert best["probability"] == pytest.approx(1 / (1 + math.exp(-8)))
    assert best["probability"] + second["probability"] == pytest.approx(1)
    assert len(empty["n_best"]) == 3


def test_likeliest_sequences_need_a_crf_and_json(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="^n: found 2 with view=color, expected null, or JSON from a CRF"):
        answers(finder(spec_of()), tmp_path, "Oslo\n", n=2, view="color")
    softmax = finder(spec_of())
    softmax.network.decoder = Softmax(softmax.spec.tags, "bioes")
    with pytest.raises(UserError, match="^n: found 2 with a softmax decoder"):
        answers(softmax, tmp_path, "Oslo\n", n=2)


@pytest.mark.parametrize("kind, more", [(RecurrentTagger, {}), (TransformerTagger, {"num_heads": 1, "span": 64})])
def test_a_line_of_100000_tokens_is_tagged(kind: type, more: dict, tmp_path: Path) -> None:
    spec = spec_of()
    options = {"embedding_dims": [4], "hidden_size": 4, "character_dim": 2, "character_channels": 2, **more}
    module = SpanTagger(spec, kind(**spec.network_arguments(), **options)).eval()
    words = 100_000
    found = answers(module, tmp_path, "to Oslo\n" + "Oslo to " * (words // 2) + "\nto\n")
    assert [len(answer["tags"]) for answer in found] == [2, words, 1]


def test_batches_hold_so_many_padded_tokens_at_most(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("to\n" * 5 + "to " * 20_000 + "\n" + "to\n" * 5, encoding="utf-8")
    sizes = [inputs.shape[:2] for _, inputs in spec_of().read([str(tmp_path / "in.txt")], 64)]
    assert sum(batch for batch, _ in sizes) == 11
    assert all(batch * time <= MOST_TOKENS for batch, time in sizes)


def test_words_that_no_vocabulary_has_are_tagged_too(tmp_path: Path) -> None:
    assert answers(finder(spec_of()), tmp_path, "☃ 我们 \U0001f600\n")[0]["tags"] == ["O", "O", "O"]


def test_spans_are_coloured_by_their_type(tmp_path: Path) -> None:
    line = answers(finder(spec_of()), tmp_path, "to Oslo\n", view="color")[0]
    assert line == "to \033[1;34mOslo\033[0m\033[2;34m/X\033[0m"


def test_plain_labels_and_segments_are_coloured_too() -> None:
    assert coloured(["a", "b"], ["N", "V"], ["N", "V"], " ", spans=False) == (
        "\033[1;34ma\033[0m\033[2;34m/N\033[0m \033[1;33mb\033[0m\033[2;33m/V\033[0m"
    )
    assert coloured(list("abc"), ["B", "E", "S"], [""], "", spans=True) == "\033[1;34mab\033[0m\033[1;33mc\033[0m"


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert "\033[2J" not in coloured(["\033[2J"], ["O"], ["X"], " ", spans=True)
