import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pad_sequence

from tenfold.data.text.ragged import RaggedTexts

texts_and_batch = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=7), min_size=1, max_size=8).flatmap(
    lambda texts: st.tuples(st.just(texts), st.lists(st.integers(0, len(texts) - 1), min_size=1, max_size=5))
)


@given(texts_and_batch, st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_fetch_pads_as_pad_sequence_does(drawn, padding_idx):
    texts, batch = drawn
    data = RaggedTexts(texts, torch.arange(len(texts)), padding_idx)
    tokens, labels = data.fetch(torch.tensor(batch))
    expected = pad_sequence([torch.tensor(texts[i]) for i in batch], batch_first=True, padding_value=padding_idx)
    assert tokens.dtype == torch.int64
    assert torch.equal(tokens, expected)
    assert labels.tolist() == batch


def test_lengths_and_size():
    data = RaggedTexts([[5], [6, 7, 8]], torch.tensor([1, 0]))
    assert len(data) == 2
    assert data.lengths.tolist() == [1, 3]


def test_a_rank_without_samples_gets_an_empty_batch():
    tokens, labels = RaggedTexts([[5]], torch.tensor([1])).fetch(torch.tensor([], dtype=torch.long))
    assert tokens.shape == (0, 0)
    assert labels.shape == (0,)
