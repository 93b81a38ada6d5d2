from itertools import islice

import lightning as L
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch.callbacks import ModelCheckpoint

from tenfold.data.base import Labelled
from tenfold.data.loader import BatchLoader, BatchOrder, Tensors
from tenfold.errors import UserError

repeatedly = settings(deadline=None, max_examples=50)
sizes = st.tuples(st.integers(1, 60), st.integers(1, 20)).filter(lambda pair: pair[0] >= pair[1])
epochs = st.integers(0, 5)


def samples(num_samples: int) -> Tensors:
    indices = torch.arange(num_samples)
    return Tensors(Labelled(indices.float().unsqueeze(1), indices))


def loader(num_samples: int = 10, batch_size: int = 4, workers: int = 0, **options) -> BatchLoader:
    options = {"shuffle": True, "seed": 3} | options
    return BatchLoader(samples(num_samples), BatchOrder(num_samples, batch_size, **options), workers)


def labels(batches) -> list[list[int]]:
    return [batch.labels.tolist() for batch in batches]


def flat(batches) -> list[int]:
    return [index for batch in batches for index in batch.tolist()]


def test_without_shuffling_the_order_is_that_of_the_data():
    assert labels(loader(5, 2, shuffle=False)) == [[0, 1], [2, 3], [4]]


@repeatedly
@given(sizes, epochs)
def test_short_gives_every_sample_once(size, epoch):
    order = BatchOrder(*size, shuffle=True, seed=1)
    batches = order.batches(epoch)
    assert sorted(flat(batches)) == list(range(size[0]))
    assert len(batches) == order.num_batches(epoch)


@repeatedly
@given(sizes, epochs)
def test_drop_gives_full_batches_of_different_samples(size, epoch):
    batches = BatchOrder(*size, shuffle=True, last_batch="drop").batches(epoch)
    assert {len(batch) for batch in batches} == {size[1]}
    assert len(set(flat(batches))) == len(batches) * size[1] == size[0] // size[1] * size[1]


@repeatedly
@given(sizes)
def test_carry_gives_full_batches_and_loses_no_sample(size):
    order = BatchOrder(*size, shuffle=True, last_batch="carry")
    seen = []
    for epoch in range(8):
        batches = order.batches(epoch)
        assert {len(batch) for batch in batches} == {size[1]}
        assert len(batches) == order.num_batches(epoch) == order.num_batches(0)
        seen += flat(batches)
    passes = [seen[start : start + size[0]] for start in range(0, len(seen) - size[0] + 1, size[0])]
    assert all(sorted(one) == list(range(size[0])) for one in passes)  # whole permutations, one after the other


@repeatedly
@given(sizes, st.integers(1, 5), st.sampled_from(["short", "drop", "carry"]), st.booleans())
def test_the_ranks_together_see_the_batches_of_one_process(size, ranks, last_batch, bucketed):
    lengths = torch.arange(size[0]) * 7 % 5 if bucketed else None
    options = {"shuffle": True, "seed": 2, "last_batch": last_batch, "lengths": lengths}
    whole = BatchOrder(*size, **options).batches(1)
    shares = [BatchOrder(*size, **options, rank=rank, world_size=ranks).batches(1) for rank in range(ranks)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert sorted(flat(parts)) == sorted(batch.tolist())
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@repeatedly
@given(st.integers(1, 300), st.integers(1, 8), epochs)
def test_bucketing_keeps_every_sample(num_samples, batch_size, epoch):
    lengths = torch.arange(num_samples) * 31 % 17
    assert sorted(flat(BatchOrder(num_samples, batch_size, shuffle=True, lengths=lengths).batches(epoch))) == list(
        range(num_samples)
    )


def test_bucketing_saves_padding_and_still_shuffles():
    lengths = torch.randint(1, 100, (1000,), generator=torch.Generator().manual_seed(0))

    def padded(batches):
        return sum(len(batch) * int(lengths[batch].max()) for batch in batches)

    order = BatchOrder(1000, 10, shuffle=True, lengths=lengths)
    assert padded(order.batches(0)) < 1.1 * int(lengths.sum()) < padded(BatchOrder(1000, 10, shuffle=True).batches(0))
    longest = [int(lengths[batch].max()) for batch in order.batches(0)]
    assert longest != sorted(longest)
    assert flat(order.batches(0)) != flat(order.batches(1))


def test_seeds_and_epochs_order_differently_and_reproducibly():
    def order(seed, epoch):
        return flat(BatchOrder(50, 7, shuffle=True, seed=seed).batches(epoch))

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2, 3) for epoch in (0, 1, 2)}) == 9


def stream(source: BatchLoader):
    """The labels of one batch after the other, epoch after epoch."""
    while True:
        for batch in source:
            yield batch.labels.tolist()


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("last_batch", ["short", "drop", "carry"])
def test_a_restored_loader_goes_on_where_the_other_stopped(last_batch, workers):
    uninterrupted = list(islice(stream(loader(last_batch=last_batch)), 10))
    for stop in range(7) if workers == 0 else (2, 3):
        first, second = loader(last_batch=last_batch), loader(last_batch=last_batch, workers=workers)
        seen = list(islice(stream(first), stop))
        second.load_state_dict(first.state_dict())
        assert seen + list(islice(stream(second), 10 - stop)) == uninterrupted


def test_an_epoch_that_was_left_early_is_left_behind():
    source, whole = loader(), loader()
    next(iter(source))
    next_epoch = [labels(whole), labels(whole)][1]
    assert labels(source) == next_epoch


def test_workers_give_the_same_batches():
    plain, workers = loader(23, 4), loader(23, 4, workers=2)
    for _ in range(2):
        for expected, found in zip(plain, workers, strict=True):
            assert torch.equal(found.inputs, expected.inputs)
            assert type(found) is Labelled


class Unreadable:
    def __len__(self) -> int:
        return 4

    def fetch(self, indices):
        raise UserError("a.png: is not a picture")


def test_a_worker_tells_a_user_error_in_one_line():
    with pytest.raises(UserError, match=r"^a\.png: is not a picture$"):
        list(BatchLoader(Unreadable(), BatchOrder(4, 2), num_workers=1))


def test_tensors_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="differ in length"):
        Tensors(Labelled(torch.zeros(3), torch.zeros(2)))


class Recorder(L.LightningModule):
    """Keeps which samples Lightning shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen: list[list[int]] = []

    def training_step(self, batch, _):
        self.seen.append(batch.labels.tolist())
        return self.layer(batch.inputs).mean()

    def validation_step(self, batch, _):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(last_batch: str, folder, checkpoint=None, **save) -> Recorder:
    module = Recorder()
    trainer = L.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[ModelCheckpoint(folder, save_top_k=-1, filename="{step}", **save)] if save else None,
        enable_checkpointing=bool(save),
    )
    trainer.fit(module, loader(last_batch=last_batch), loader(shuffle=False), ckpt_path=checkpoint)
    return module


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("last_batch", ["short", "carry"])
@pytest.mark.parametrize("save", [{"every_n_train_steps": 1}, {"every_n_epochs": 1}], ids=["step", "epoch"])
def test_lightning_resumes_with_the_batches_that_were_to_come(last_batch, save, tmp_path):
    whole = fit(last_batch, tmp_path, **save).seen
    assert whole == list(islice(stream(loader(last_batch=last_batch)), len(whole)))
    assert len(whole) == 3 * len(loader(last_batch=last_batch))
    for path in tmp_path.glob("*.ckpt"):
        steps = int(path.stem.partition("=")[2])
        assert fit(last_batch, tmp_path, path).seen == whole[steps:]
