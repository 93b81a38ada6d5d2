"""Compiled steps are the textbook's stochastic gradient descent, four predictions after four."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from command_line import refused
from tenfold.data.text.subwords import subword_rows
from tenfold.errors import UserError
from tenfold.topics.word_embeddings.blocks import SENTENCE_END, BlockCutter, Blocks, BlockShape, band_table
from tenfold.topics.word_embeddings.data import WordSpec
from tenfold.topics.word_embeddings.module import Word2Vec
from tenfold.topics.word_embeddings.networks import WordEmbedding
from tenfold.topics.word_embeddings.tables import SubwordTable, WordTable

WORDS, CHANNELS, NEGATIVES, RATE = 20, 6, 3, 0.3
SHAPES = [BlockShape(3, NEGATIVES, 4, 8, 4), BlockShape(4, NEGATIVES, 1, 5, 3)]


def some_blocks(shape: BlockShape) -> Blocks:
    tokens = torch.randint(WORDS, (3, 20), generator=torch.Generator().manual_seed(5))
    tokens[:, ::13] = SENTENCE_END
    return BlockCutter(torch.ones(WORDS), shape, 0.045)(tokens, torch.arange(3), 0)


def predicted(hidden: Tensor, outputs: Tensor, words: list[int], sign: int, rate: float) -> Tensor:
    """What predictions add to `hidden`, by autograd; four of them at once, and a rest singly, move the rows of
    `outputs`."""
    change, fours = torch.zeros_like(hidden), len(words) // 4
    for together in torch.tensor(words).split([4] * fours + [1] * (len(words) - 4 * fours)):
        center, targets = hidden.clone().requires_grad_(), outputs[together].clone().requires_grad_()
        (-rate * logsigmoid(sign * (targets @ center)).sum()).backward()
        outputs.index_add_(0, together, -targets.grad)
        change -= center.grad
    return change


Table = WordTable | SubwordTable


def by_the_book(inputs: Table, outputs: Tensor, blocks: Blocks, shape: BlockShape, cbow: bool, cap: float) -> None:
    """Descend on all centres in order, in place; a word's rows take the whole change each, as in fastText."""
    windows, table = blocks.windows(shape), band_table(shape)
    for passage, lots in enumerate(blocks.noise.tolist()):
        taken = 0
        for place, centre in enumerate(blocks.centres(shape).view(len(blocks), -1)[passage].tolist()):
            block = (passage * shape.passage + place) // shape.block
            around = windows[block, table[blocks.bands[passage, place]].nonzero().flatten()].tolist()
            if not around:
                continue
            number = NEGATIVES if cbow else 4 * NEGATIVES
            noise = [lots[(taken + one) % len(lots)] for one in range(number)]
            taken += number
            hidden = inputs(torch.tensor(around if cbow else [centre])).mean(0).detach()
            change = predicted(hidden, outputs, [centre] if cbow else around, 1, RATE)
            change += predicted(hidden, outputs, noise, -1, RATE if cbow else min(RATE * len(around) / 4, cap))
            for word in around if cbow else [centre]:
                inputs.add_(torch.tensor([word]), (change / len(around) if cbow else change).unsqueeze(0))


def tables(kind: str) -> list[Table]:
    """Two that are equal."""
    torch.manual_seed(3)
    if kind == "word":
        made: list[Table] = [WordTable(WORDS, CHANNELS).double() for _ in range(2)]
    else:
        rows, offsets = subword_rows([f"wort{number}" for number in range(WORDS)], 30)
        made = [SubwordTable(rows, offsets, WORDS + 30, CHANNELS).double() for _ in range(2)]
    made[0].weight.data.normal_()
    made[1].load_state_dict(made[0].state_dict())
    return made


@pytest.mark.parametrize("kind", ["word", "subword"])
@pytest.mark.parametrize("cbow", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cap", [0.5, torch.inf])
def test_a_step_is_descent_by_autograd(kind: str, cbow: bool, shape: BlockShape, cap: float) -> None:
    compiled = pytest.importorskip("tenfold.topics.word_embeddings.compiled")
    inputs, expected_inputs = tables(kind)
    outputs, blocks = torch.randn(WORDS, CHANNELS, dtype=torch.double), some_blocks(shape)
    expected_outputs = outputs.clone()
    by_the_book(expected_inputs, expected_outputs, blocks, shape, cbow, cap)
    compiled.step(inputs, outputs, blocks, shape, cbow, RATE, cap)
    torch.testing.assert_close(inputs.weight.detach(), expected_inputs.weight.detach())
    torch.testing.assert_close(outputs, expected_outputs)


def model(**options: object) -> Word2Vec:
    spec = WordSpec(words=("a", "b"), counts=(3, 2), seed=0)
    return Word2Vec(spec, WordEmbedding(2, 4), **options)  # type: ignore[arg-type]


def test_the_compiled_kernel_is_taken_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    assert model().compiled
    assert not model(kernel="blocks").compiled
    assert not model(objective="hierarchical").compiled
    assert not model().bfloat16().compiled
    assert not model().to("meta").compiled
    with pytest.raises(UserError, match=r"^model.kernel: found 'compiled', which needs float32 or float64 on the CPU"):
        _ = model(kernel="compiled").bfloat16().compiled
    with pytest.raises(
        UserError, match=r"^model.kernel: found 'compiled', which needs objective=negative; expected auto"
    ):
        model(objective="hierarchical", kernel="compiled")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not model().compiled
    with pytest.raises(UserError, match=r"pip install 'tenfold\[word_embeddings\]'; expected auto or blocks$"):
        model(kernel="compiled")


@pytest.mark.parametrize(
    ("command", "given", "message"),
    [
        ("train", "trainer.precision=bf16-true", "needs float32 or float64 on the CPU, not torch.bfloat16 on cpu"),
        ("check", "model.objective=hierarchical", "needs objective=negative"),
        ("train", "", "needs the package 'numba'"),
    ],
)
def test_a_compiled_kernel_that_cannot_be_had_is_told_before_data_is_read(
    command: str, given: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = importlib.util.find_spec
    if not given:
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *rest: None if name == "numba" else real(name, *rest)
        )
    chosen = ("experiment=word_embeddings/python_reference", "model.kernel=compiled", "trainer.accelerator=cpu")
    monkeypatch.setenv("TENFOLD_OUTPUTS", str(tmp_path / "outputs"))
    unreadable = ("data=text/corpus", f"data.path={tmp_path / 'missing.txt'}")
    line = refused(command, *chosen, *unreadable, *([given] if given else []))
    assert f"model.kernel: found 'compiled', which {message}" in line
    assert not (tmp_path / "outputs").exists()
