"""Letters read by convolutions and by LSTMs, and pretrained vectors that stay as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tenfold.errors import UserError
from tenfold.topics.sequence_labeling.embedding import CharacterCNN, CharacterLSTM, TokenEmbedding
from tenfold.topics.sequence_labeling.module import SpanTagger
from tenfold.topics.sequence_labeling.networks import LinearTagger, RecurrentTagger
from tenfold.topics.sequence_labeling.sources import Conll


@pytest.mark.parametrize("kind", [CharacterCNN, CharacterLSTM])
def test_padding_does_not_change_a_spelling(kind: type) -> None:
    torch.manual_seed(0)
    speller = kind(9, 4, 6).double()
    letters = torch.tensor([[2, 3, 4, 0, 0], [5, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    spelt = speller(letters)
    torch.testing.assert_close(spelt[:1], speller(letters[:1, :3]))
    torch.testing.assert_close(spelt[1:2], speller(letters[1:2, :1]))
    assert (spelt[2] == 0).all()


def test_the_lstm_reads_words_from_both_ends() -> None:
    torch.manual_seed(0)
    speller = CharacterLSTM(9, 4, 6)
    letters = torch.tensor([[2, 3, 4]])
    forward = speller.forwards(speller.letters(letters))[0][:, -1]
    backward = speller.backwards(speller.letters(letters.flip(1)))[0][:, -1]
    torch.testing.assert_close(speller(letters), torch.cat([forward, backward], dim=1))


def test_an_unknown_speller_and_an_odd_width_are_named() -> None:
    with pytest.raises(UserError, match=r"model\.network\.speller: found 'cnnn', expected cnn or lstm; did you mean"):
        TokenEmbedding([3], 3, 0, 0, [4], "cnnn", 2, 2, 0.0)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"model\.network\.character_channels: found 3, expected an even number"):
        CharacterLSTM(3, 2, 3)


def test_strings_are_lost_in_training_only_and_never_padding() -> None:
    torch.manual_seed(0)
    embedding = TokenEmbedding([5], 0, 0, 0, [4], "cnn", 0, 0, word_dropout=0.5)
    inputs = torch.tensor([[[2]] * 200 + [[0]] * 200])
    said = embedding(inputs)[0]
    unknown = (said[:200] == embedding.columns[0].weight[1]).all(1).sum()
    assert 60 < unknown < 140
    assert (said[200:] == 0).all()
    assert torch.equal(embedding.eval()(inputs)[0, :200], embedding.columns[0].weight[2].expand(200, -1))


def with_vectors(tmp_path: Path) -> Conll:
    (tmp_path / "vectors.txt").write_text("2 3\nOslo 3.0 0.0 0.0\nin 0.0 -3.0 3.0\n")
    for name in ("train", "val"):
        (tmp_path / name).write_text("in\tO\nParis\tB-X\n")
    paths = {name: str(tmp_path / name) for name in ("train", "val")}
    data = Conll(min_count=1, batch_size=2, max_characters=2, vectors=str(tmp_path / "vectors.txt"), **paths)
    data.setup()
    return data


def test_vectors_are_filled_in_scaled_kept_and_saved(tmp_path: Path) -> None:
    data = with_vectors(tmp_path)
    network = RecurrentTagger(**data.spec.network_arguments(), hidden_size=4, character_channels=2)
    module = SpanTagger(data.spec, network)
    module.prepare(data)
    table = network.embedding.vectors
    assert table is not None and not table.weight.requires_grad
    assert (table.weight[:2] == 0).all()
    assert table.weight[2, 0] > 0 and (table.weight[2, 1:] == 0).all()
    torch.testing.assert_close(table.weight[2:].std(), torch.tensor(1.0))
    assert any(name.endswith("vectors.weight") for name in module.state_dict())
    before = network(data.spec.encode(["Oslo"]).long().unsqueeze(0))
    assert not torch.equal(before, network(data.spec.encode(["Rome"]).long().unsqueeze(0)))


def test_a_network_without_a_place_for_vectors_says_so(tmp_path: Path) -> None:
    data = with_vectors(tmp_path)
    known = data.spec.network_arguments()
    module = SpanTagger(data.spec, LinearTagger(known["vocab_sizes"], known["tags"], known["scheme"]))
    with pytest.raises(UserError, match=r"data\.vectors: LinearTagger takes no word vectors; expected null"):
        module.prepare(data)
