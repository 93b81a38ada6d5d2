"""Text classifiers begin with trained vectors of tokens, which are known even where training lacks them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tenfold.data.text.tsv import TSV
from tenfold.errors import UserError
from tenfold.topics.classification.module import Classifier
from tenfold.topics.classification.text_networks import BagOfEmbeddings, TextCNN, TextRNN
from tenfold.topics.word_embeddings.text_module import TextClassification
from tenfold.topics.word_embeddings.text_network import FastTextClassifier
from tenfold.topics.word_embeddings.text_rows import TSVRows

VECTORS = "3 4\ngood 1 0 2 0\nfine 0 -3 0 1\nunseen 2 2 -2 2\n"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "texts.tsv").write_text(
        "".join(f"{'ab'[n % 2]}\t{('bad', 'good')[n % 2]} text {n}\n" for n in range(40))
    )
    (tmp_path / "vectors.txt").write_text(VECTORS)
    return {"path": str(tmp_path / "texts.tsv"), "vectors": str(tmp_path / "vectors.txt")}


@pytest.mark.parametrize("network", [BagOfEmbeddings, TextCNN, TextRNN, FastTextClassifier])
def test_rows_of_tokens_with_a_vector_are_its_multiple_and_others_stay(network: type, files: dict[str, str]) -> None:
    rows = network is FastTextClassifier
    data = (TSVRows if rows else TSV)(batch_size=8, **files)
    data.setup()
    tokens = data.spec.tokens
    assert tokens[:2] == ("<pad>", "<unk>")
    assert {"good", "bad", "text", "fine", "unseen"} <= set(tokens)
    assert data.spec.encode("unseen") == [tokens.index("unseen")]
    built = network(**data.spec.network_arguments(), **({"channels": 4} if rows else {"embedding_dim": 4}))
    module = (TextClassification if rows else Classifier)(data.spec, built)
    before = built.embedding.weight.detach().clone()
    module.prepare(data)
    after = built.embedding.weight.detach()
    assert data.vectors is not None
    scale = before[1:].std() / data.vectors.matrix.std()
    for row, token in enumerate(tokens):
        known = token in ("good", "fine", "unseen")
        torch.testing.assert_close(after[row], data.vectors.vector(token) * scale if known else before[row])


def test_what_takes_no_vectors_or_others_is_told(files: dict[str, str]) -> None:
    data = TSV(batch_size=8, **files)
    data.setup()
    with pytest.raises(UserError, match=r"data.vectors: Linear takes no vectors; expected null, or a model such as"):
        Classifier(data.spec, nn.Linear(2, 2)).prepare(data)
    network = TextCNN(**data.spec.network_arguments(), embedding_dim=5)
    with pytest.raises(UserError, match="data.vectors: found 4 numbers a token, expected 5"):
        Classifier(data.spec, network).prepare(data)
