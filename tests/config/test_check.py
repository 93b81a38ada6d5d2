"""The checks of a config that need no data, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import torch

from tenfold.config.batches import check_batches
from tenfold.config.check import check_batch, check_config
from tenfold.config.compose import compose, options, to_plain
from tenfold.config.fits import expected, fits, hints_of, name_of
from tenfold.engine.build import build_data, build_module
from tenfold.errors import UserError

FITS = [
    (1, int),
    (1, float),
    (1.5, float),
    (True, bool),
    ("a", str),
    (None, int | None),
    (3, int | Literal["auto"] | None),
    ("auto", int | Literal["auto"] | None),
    ([1, 2], Sequence[int]),
    ((1, 2), Sequence[float]),
    ([], list[int]),
    ([0.9, 0.99], tuple[float, float]),
    ([1, 2, 3], tuple[int, ...]),
    ([[1, 2], [3]], Sequence[Sequence[int]]),
    ({"a": 1}, Mapping[str, int]),
    ({"_target_": "x"}, Callable[[int], int] | None),
    ({"_target_": "x"}, torch.nn.Module),
    ("/tmp", Path),
    ("/tmp", str | Path | None),
    (0.1, float | torch.Tensor),
    (2, Annotated[int, "units"]),
    ("anything", Any),
    ("anything", object),
    (1, "a string that could not be resolved"),
]
DOES_NOT_FIT = [
    ("1", int),
    (1.0, int),
    (True, int),
    (True, float),
    (None, int),
    (1, bool),
    (1, str),
    ([1], str),
    ("atuo", int | Literal["auto"] | None),
    (1, Sequence[int]),
    ("abc", Sequence[str]),
    (["a"], Sequence[int]),
    ([[1], ["a"]], Sequence[Sequence[int]]),
    ([0.9], tuple[float, float]),
    ([0.9, "a"], tuple[float, float]),
    ({"a": 1}, Sequence[int]),
    ([1], Mapping[str, int]),
    ("flip", Callable[[int], int] | None),
    ("fast", float | torch.Tensor),
    ("relu", torch.nn.Module),
    (1, Iterable[int]),
]


@pytest.mark.parametrize("value, hint", FITS, ids=str)
def test_a_value_that_fits(value, hint):
    assert fits(value, hint)


@pytest.mark.parametrize("value, hint", DOES_NOT_FIT, ids=str)
def test_a_value_that_does_not_fit(value, hint):
    assert not fits(value, hint)


@pytest.mark.parametrize("hint, name", [
    (int, "int"),
    (int | None, "int or null"),
    (int | Literal["auto"] | None, "int or auto or null"),
    (Sequence[int], "a list of int"),
    (tuple[float, float], "[float, float]"),
    (tuple[int, ...], "a list of int"),
    (Callable[[int], int] | None, "a _target_ or null"),
    (Mapping[str, int], "keys and values"),
    (list, "list"),
])  # fmt: skip
def test_an_annotation_as_a_person_says_it(hint, name):
    assert name_of(hint) == name


def test_what_was_found_and_expected():
    assert expected("atuo", int | Literal["auto"]) == "found 'atuo', expected int or auto; did you mean 'auto'?"
    assert expected(3, str) == "found 3, expected str"


def test_annotations_of_parents_count():
    class Parent:
        def __init__(self, size: int) -> None: ...

    class Child(Parent):
        def __init__(self, depth: float, **more) -> None: ...

    hints = hints_of(Child)
    assert (hints["size"], hints["depth"]) == (int, float)
    assert hints_of(len) == {}


# A whole config ------------------------------------------------------------------------------------------------------


def mistake(*overrides: str, recipe: str = "classification/iris") -> str:
    with pytest.raises(UserError) as caught:
        check_config(compose("train", [f"experiment={recipe}", *overrides]))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("group", ["optimizer", "scheduler", "logger"])
def test_every_option_passes(group):
    for option in options(group):
        if option not in ("wandb", "mlflow"):
            check_config(compose("train", ["experiment=null", f"{group}={option}"]))


def test_a_missing_argument_is_named():
    assert mistake("~data.name") == "data.name: missing; tenfold.data.tabular.bundled.Bundled needs it"
    assert (
        mistake("~model.network") == "model.network: missing; tenfold.topics.classification.module.Classifier needs it"
    )


def test_what_the_engine_supplies_need_not_be_given_but_may():
    check_config(
        compose("train", ["+model.network.num_classes=3", "+scheduler.total_steps=9", "+scheduler.interval=epoch"])
    )


def test_an_argument_that_parents_take_is_known():
    check_config(compose("train", ["+callbacks.checkpoint.every_n_epochs=2", "+logger.tensorboard.purge_step=3"]))
    assert "did you mean 'every_n_epochs'?" in mistake("+callbacks.checkpoint.every_n_epoch=2")


def test_nested_targets_are_checked_at_their_own_path():
    assert mistake("data.augment.degrees=ten", recipe="classification/digits").startswith(
        "data.augment.degrees: found 'ten'"
    )


def test_a_target_that_cannot_be_called():
    line = mistake("~data.augment", "+data.augment={_target_: torch.pi}", recipe="classification/digits")
    assert line == "data.augment._target_: torch.pi is a float, expected a class or function"


def test_a_part_that_is_missing():
    assert mistake("~optimizer").startswith("optimizer: found lr, expected a _target_ too")
    assert mistake("~optimizer", recipe="classification/breast_cancer").startswith("optimizer: found None")
    assert mistake("~model._target_") == "model._target_: missing, expected the name of a TenfoldModule"
    assert mistake("data._target_=torch.nn.Linear") == "data._target_: found torch.nn.Linear, expected a DataModule"


def test_the_monitored_metric_is_one_of_the_module():
    line = mistake("callbacks.checkpoint.monitor=test/accuracy")
    assert line.startswith("callbacks.checkpoint.monitor: found 'test/accuracy', expected one of val/accuracy, ")
    assert "did you mean 'val/accuracy'?" in line
    assert mistake("callbacks=[default,early_stopping]", "callbacks.early_stopping.monitor=loss").startswith(
        "callbacks.early_stopping.monitor: found 'loss'"
    )


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert mistake("trainer.accelerator=cuda").startswith("trainer.accelerator: cuda was asked for")


# Batches -------------------------------------------------------------------------------------------------------------


def batches(batch: Any, **trainer: Any) -> None:
    check_batches({"data": {"batch_size": batch} if batch is not None else {}, "trainer": trainer})


@pytest.mark.parametrize("batch, trainer", [
    (12, {}),
    (12, {"devices": 3}),
    (12, {"devices": [0, 1, 2, 3], "num_nodes": 3}),
    (12, {"devices": "auto"}),
    (12, {"micro_batch_size": 5}),
    (12, {"micro_batch_size": 12}),
    (12, {"micro_batch_size": "auto"}),
    (12, {"micro_batch_size": 5, "accumulate_grad_batches": 3}),
    (12, {"devices": 2, "micro_batch_size": 3, "accumulate_grad_batches": 2}),
    (12, {"accumulate_grad_batches": 12}),
    (None, {"micro_batch_size": 5, "devices": 7}),
])  # fmt: skip
def test_a_batch_that_can_be_cut(batch, trainer):
    batches(batch, **trainer)


@pytest.mark.parametrize("batch, trainer, line", [
    (0, {}, "data.batch_size: found 0, expected at least 1"),
    (12, {"devices": 5}, "data.batch_size: 12 cannot be shared equally by 5 devices; expected a multiple of 5"),
    (12, {"devices": 2, "num_nodes": 4}, "data.batch_size: 12 cannot be shared equally by 8 devices"),
    (12, {"devices": [0, 1, 2, 3, 4]}, "data.batch_size: 12 cannot be shared equally by 5 devices"),
    (12, {"micro_batch_size": 13}, "trainer.micro_batch_size: 13 is larger than the 12 samples"),
    (12, {"devices": 4, "micro_batch_size": 4}, "trainer.micro_batch_size: 4 is larger than the 3 samples"),
    (12, {"micro_batch_size": 0}, "trainer.micro_batch_size: found 0, expected at least 1"),
    (None, {"micro_batch_size": -1}, "trainer.micro_batch_size: found -1, expected at least 1"),
    (12, {"accumulate_grad_batches": 0}, "trainer.accumulate_grad_batches: found 0, expected at least 1"),
    (12, {"accumulate_grad_batches": 13}, "trainer.accumulate_grad_batches: 13 micro-batches cannot be cut from 12"),
    (12, {"micro_batch_size": 5, "accumulate_grad_batches": 2}, "trainer.accumulate_grad_batches: 2 disagrees"),
    (12, {"micro_batch_size": "auto", "accumulate_grad_batches": 2}, "trainer.accumulate_grad_batches: 2 disagrees"),
    (12, {"devices": 2, "micro_batch_size": "auto", "batch_norm": "exact"}, "trainer.micro_batch_size: auto on"),
])  # fmt: skip
def test_a_batch_that_cannot_be_cut(batch, trainer, line):
    with pytest.raises(UserError) as caught:
        batches(batch, **trainer)
    assert str(caught.value).startswith(line)


# Model and data ------------------------------------------------------------------------------------------------------


def meet(*overrides: str):
    config = to_plain(compose("train", ["experiment=classification/iris", *overrides]))
    data = build_data(config)
    data.setup()
    module = build_module(config, data.spec)
    return module, data


def test_a_batch_leaves_no_trace():
    module, data = meet("model=classification/mlp", "model.network.hidden=[4]")
    module.network.eval()
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    random = torch.get_rng_state()
    check_batch(module, data)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(module.state_dict()[name], value) for name, value in weights.items())
    assert module.training
    assert not module.network.training


def test_a_network_that_does_not_take_the_data():
    module, data = meet()
    module.network = torch.nn.Linear(7, 3)
    with pytest.raises(
        UserError, match=r"^model: does not take a batch of this data \(inputs \[2, 4\], labels \[2\]\): "
    ):
        check_batch(module, data)


def test_sums_and_weights_of_other_names():
    module, data = meet()
    module.weights = lambda batch: {"other": 1}
    with pytest.raises(UserError, match=r"losses gives \['cross_entropy'\] and weights \['other'\]"):
        check_batch(module, data)
