"""Block losses equal the textbook formulae pair by pair, steps equal autograd, and large steps stay stable."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from tenfold.data.text.subwords import subword_rows
from tenfold.topics.word_embeddings import hierarchical, negative_sampling
from tenfold.topics.word_embeddings.blocks import SENTENCE_END, BlockCutter, Blocks, BlockShape, band_table, mean_table
from tenfold.topics.word_embeddings.rates import RowRates
from tenfold.topics.word_embeddings.tables import Composed, SubwordTable, WordTable

WORDS, CHANNELS, NEGATIVES = 20, 6, 4
# Windows that reach over one block and over several; passages of two blocks and more.
SHAPES = [BlockShape(3, NEGATIVES, 4, 8, 4), BlockShape(3, NEGATIVES, 8, 5, 2), BlockShape(4, NEGATIVES, 1, 1, 3)]
RATE = 0.37


def some_blocks(shape: BlockShape) -> Blocks:
    tokens = torch.randint(WORDS, (3, 20), generator=torch.Generator().manual_seed(5))
    tokens[:, ::13] = SENTENCE_END
    return BlockCutter(torch.ones(WORDS), shape, 0.045)(tokens, torch.arange(3), 0)


def tables(kind: str) -> tuple[WordTable | SubwordTable, Tensor]:
    torch.manual_seed(11)
    if kind == "word":
        inputs: WordTable | SubwordTable = WordTable(WORDS, CHANNELS).double()
    else:
        rows, offsets = subword_rows([f"wort{number}" for number in range(WORDS)], 30)
        inputs = SubwordTable(rows, offsets, WORDS + 30, CHANNELS).double()
    inputs.weight.data.normal_()
    return inputs, torch.randn(WORDS, CHANNELS, dtype=torch.double).requires_grad_()


def free(rate: float) -> tuple[RowRates, RowRates]:
    """Rates without a limit."""
    one, two = (RowRates(rate, torch.inf, WORDS, torch.zeros(1, dtype=torch.double)) for _ in range(2))
    return one, two


def contexts(blocks: Blocks, shape: BlockShape, passage: int, place: int) -> list[int]:
    weight = band_table(shape)[blocks.bands[passage, place]]
    block = (passage * shape.passage + place) // shape.block
    return blocks.windows(shape)[block, weight.nonzero().flatten()].tolist()


def negative_term(hidden: Tensor, target: int, noise: Tensor, outputs: Tensor) -> Tensor:
    """−log σ(h·u_o) − Σ log σ(−h·u_n), the k noise words' sum as the mean over the shared ones times k."""
    return -logsigmoid(hidden @ outputs[target]) - NEGATIVES * logsigmoid(-outputs[noise] @ hidden).mean()


def path_term(hidden: Tensor, word: int, tree: hierarchical.Hierarchy, outputs: Tensor) -> Tensor:
    total = torch.zeros((), dtype=torch.double)
    for node, sign in zip(tree.nodes[word].tolist(), tree.signs[word].tolist(), strict=True):
        if sign:
            total = total - logsigmoid(sign * (hidden @ outputs[node]))
    return total


def textbook(
    inputs: WordTable | SubwordTable,
    outputs: Tensor,
    blocks: Blocks,
    shape: BlockShape,
    cbow: bool,
    tree: hierarchical.Hierarchy | None,
) -> Tensor:
    """The loss of all pairs (or centres), one after the other."""
    total = torch.zeros((), dtype=torch.double)
    for passage, noise in enumerate(blocks.noise):
        centres = blocks.centres(shape).view(len(blocks), -1)[passage]
        for place, centre in enumerate(centres.tolist()):
            around = contexts(blocks, shape, passage, place)
            if not around:
                continue
            vectors = inputs(torch.tensor(around))
            if cbow:
                hidden = vectors.mean(0)
                total = total + (
                    path_term(hidden, centre, tree, outputs) if tree else negative_term(hidden, centre, noise, outputs)
                )
            elif tree:
                total = total + sum(path_term(vector, centre, tree, outputs) for vector in vectors)
            else:
                hidden = inputs(torch.tensor([centre]))[0]
                total = total + sum(negative_term(hidden, context, noise, outputs) for context in around)
    return total


@pytest.mark.parametrize("kind", ["word", "subword"])
@pytest.mark.parametrize("cbow", [False, True])
@pytest.mark.parametrize("hierarchy", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_loss_is_the_textbook_sum_and_a_step_its_gradient(
    kind: str, cbow: bool, hierarchy: bool, shape: BlockShape
) -> None:
    inputs, outputs = tables(kind)
    blocks, table, rates = some_blocks(shape), band_table(shape).double(), free(RATE)
    blocks = Blocks(blocks.text, blocks.bands, blocks.sizes.double(), blocks.noise)
    counts = torch.arange(WORDS, 0, -1) ** 2
    tree = hierarchical.Hierarchy(counts, shape.window).double() if hierarchy else None
    if tree is not None:
        loss, weight = hierarchical.path_loss(inputs, outputs, blocks, tree, cbow, shape)
    elif cbow:
        loss, weight = negative_sampling.cbow_loss(inputs, outputs, blocks, table, shape)
    else:
        loss, weight = negative_sampling.skipgram_loss(inputs, outputs, blocks, table, shape)
    expected = textbook(inputs, outputs, blocks, shape, cbow, tree)
    torch.testing.assert_close(loss, expected)
    sizes = [len(contexts(blocks, shape, b, i)) for b in range(len(blocks)) for i in range(shape.passage)]
    assert sizes == blocks.sizes.flatten().tolist()
    assert weight == (sum(size > 0 for size in sizes) if cbow else sum(sizes))

    # Every row of a FastText word gets the whole gradient of their mean: autograd's, times the number of rows.
    words = inputs(torch.arange(WORDS)).detach().requires_grad_()
    stand_in = WordTable(WORDS, CHANNELS)
    stand_in.weight = torch.nn.Parameter(words.detach().clone())
    textbook(stand_in, outputs, blocks, shape, cbow, tree).backward()
    moved_outputs, moved = outputs.detach().clone(), inputs.weight.detach().clone()
    if kind == "word":
        moved -= RATE * stand_in.weight.grad
    else:
        for word in range(WORDS):
            rows, _ = inputs.spread(torch.tensor([word]))
            for row in rows.tolist():
                moved[row] -= RATE * stand_in.weight.grad[word]
    moved_outputs -= RATE * outputs.grad

    target = outputs.detach()
    if tree is not None:
        hierarchical.path_step(inputs, target, blocks, tree, cbow, shape, *rates)
    elif cbow:
        negative_sampling.cbow_step(inputs, target, blocks, mean_table(table), shape, *rates)
    else:
        negative_sampling.skipgram_step(inputs, target, blocks, table, shape, *rates)
    torch.testing.assert_close(inputs.weight.detach(), moved)
    torch.testing.assert_close(target, moved_outputs)


def test_huffman_codes_are_those_of_the_textbook() -> None:
    counts = torch.tensor([40, 30, 20, 6, 4])
    nodes, signs = hierarchical.huffman_paths(counts)
    depth = (signs != 0).sum(1)
    assert depth.tolist() == [1, 2, 3, 4, 4]
    assert (counts * depth).sum() == 40 * 1 + 30 * 2 + 20 * 3 + 10 * 4
    assert (nodes[:, 0] == nodes[0, 0]).all(), "all paths start at the root"
    prefixes = {tuple(signs[word][: depth[word]].tolist()) for word in range(5)}
    assert not any(a != b and b[: len(a)] == a for a in prefixes for b in prefixes)
    assert sum(0.5 ** int(d) for d in depth) == 1


def test_path_probabilities_sum_to_one() -> None:
    tree = hierarchical.Hierarchy(torch.tensor([9, 7, 4, 3, 2, 1]), 2)
    hidden, nodes = torch.randn(5), torch.randn(6, 5)
    logs = [-path_term(hidden.double(), word, tree, nodes.double()) for word in range(6)]
    assert torch.stack(logs).exp().sum().item() == pytest.approx(1)


def test_rates_are_capped_where_a_step_holds_many_updates_of_a_row() -> None:
    rates = RowRates(0.1, 2.0, 5, torch.zeros(1))
    rows, updates = torch.tensor([3, 1, 3, 0]), torch.tensor([30.0, 8.0, 10.0, 0.0])
    for _ in range(2):  # nothing is left of the step before
        assert rates(rows, updates).flatten().tolist() == pytest.approx([-0.05, -0.1, -0.05, -0.1])


def test_words_put_together_pay_their_rows_what_they_learn() -> None:
    (table, _), (twin, _) = tables("subword"), tables("subword")
    assert isinstance(table, SubwordTable)
    words, change = torch.tensor([4, 9, 4]), torch.randn(3, CHANNELS, dtype=torch.double)
    composed = Composed(table, torch.tensor([4, 2, 9]))
    torch.testing.assert_close(composed(words), twin(words).detach())
    composed.add_(words[:2], change[:2])
    composed.add_(words[2:], change[2:])
    torch.testing.assert_close(composed(torch.tensor([4]))[0], twin(words)[0].detach() + change[0] + change[2])
    composed.settle(words, torch.ones(3, dtype=torch.double), limit=torch.inf)
    twin.add_(words, change)
    torch.testing.assert_close(table.weight, twin.weight)


def test_rows_that_many_words_share_take_no_more_than_the_limit() -> None:
    (table, _), (twin, _) = tables("subword"), tables("subword")
    assert isinstance(table, SubwordTable) and isinstance(twin, SubwordTable)
    words, change = torch.arange(WORDS), torch.randn(WORDS, CHANNELS, dtype=torch.double)
    received = torch.arange(WORDS, dtype=torch.double)
    expected, total = table.weight.detach().clone(), torch.zeros(len(table.weight))
    lists = [table.spread(words[word : word + 1])[0].tolist() for word in range(WORDS)]
    for word, rows in enumerate(lists):
        for row in rows:
            total[row] += word
    for word, rows in enumerate(lists):
        for row in rows:
            expected[row] += change[word] * min(1.0, 25.0 / max(float(total[row]), 1e-9))
    for _ in range(2):
        table.weight.data.copy_(twin.weight.data)
        table.add_(words, change, received, limit=25.0)
        torch.testing.assert_close(table.weight.detach(), expected)
