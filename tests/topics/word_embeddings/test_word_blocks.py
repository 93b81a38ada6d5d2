"""Blocks hold exactly the pairs of the text."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.topics.word_embeddings.blocks import SENTENCE_END, BlockCutter, Blocks, BlockShape, band_table
from tenfold.topics.word_embeddings.draws import uniform


def pairs_of(blocks: Blocks, shape: BlockShape) -> list[tuple[int, int]]:
    """All (centre, context) pairs that the weights of the blocks say."""
    weight = band_table(shape)[blocks.bands].view(-1, shape.block, shape.span)
    block, centre, place = weight.nonzero(as_tuple=True)
    centres, windows = blocks.centres(shape), blocks.windows(shape)
    return list(zip(centres[block, centre].tolist(), windows[block, place].tolist(), strict=True))


def stretches(rows: list[list[int]]) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([row + [SENTENCE_END] * (width - len(row)) for row in rows])


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(-1, 9), min_size=1, max_size=40), min_size=1, max_size=5),
    window=st.integers(1, 6),
    block=st.integers(1, 12),
    group=st.integers(1, 4),
)
def test_pairs_are_those_of_the_reduced_windows(rows: list[list[int]], window: int, block: int, group: int) -> None:
    tokens = stretches(rows)
    shape = BlockShape(window=window, block=block, shared=3, group=group)
    blocks = BlockCutter(torch.ones(10), shape, threshold=0, seed=4)(tokens, torch.arange(len(rows)) + 3, epoch=2)
    places = torch.arange(tokens.numel()).view_as(tokens) + 3 * tokens.shape[1]
    reduced = 1 + (uniform(places, 4, 2, 1) * window).long()
    expected = []
    for row, sizes in zip(tokens.tolist(), reduced.tolist(), strict=True):
        for place, centre in enumerate(row):
            for step in (-1, 1):
                for distance in range(1, sizes[place] + 1):
                    other = place + step * distance
                    if centre < 0 or not 0 <= other < len(row) or row[other] < 0:
                        break
                    expected.append((centre, row[other]))
    assert sorted(pairs_of(blocks, shape)) == sorted(expected)
    assert blocks.sizes.sum() == len(expected)


def test_blocks_are_the_same_however_a_batch_is_shared_out() -> None:
    tokens = torch.randint(-1, 30, (9, 50), generator=torch.Generator().manual_seed(1))
    cutter, index = BlockCutter(torch.arange(30, 0, -1) ** 2, BlockShape(block=8, group=3), 1e-2), torch.arange(9) * 5
    whole = cutter(tokens, index, 3)
    parts = [cutter(tokens[part], index[part], 3) for part in (slice(0, 2), slice(2, 7), slice(7, 9))]
    for name in ("text", "noise", "bands", "sizes"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))
    assert not torch.equal(cutter(tokens, index, 4).noise[:5], whole.noise[:5])


def test_text_without_words_gives_no_blocks() -> None:
    cutter = BlockCutter(torch.ones(3), BlockShape())
    blocks = cutter(torch.full((2, 5), SENTENCE_END), torch.arange(2), 0)
    assert len(blocks) == 0
    assert list(blocks.split(4)) == [] or all(len(part) == 0 for part in blocks.split(4))
