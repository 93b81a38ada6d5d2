"""What the engine adds to the configs of callbacks and strategies."""

from __future__ import annotations

import pytest
from lightning.pytorch.callbacks import ProgressBar

from tenfold.config.compose import compose, to_plain
from tenfold.engine.build import _strategy, build_trainer, monitored
from tenfold.engine.sharding import Sharded

METRICS = {"accuracy": "max", "loss": "min"}


@pytest.mark.parametrize(
    "given, monitor, mode",
    [(None, "val/accuracy", "max"), ("val/loss", "val/loss", "min"), ("val/accuracy", "val/accuracy", "max")],
)
def test_a_callback_learns_what_to_watch_and_which_way_is_better(given, monitor, mode):
    assert monitored({"_target_": "x", "monitor": given}, METRICS) == {
        "_target_": "x",
        "monitor": monitor,
        "mode": mode,
    }
    assert monitored({"_target_": "x"}, METRICS) == {"_target_": "x"}


@pytest.mark.parametrize("override, bars", [("callbacks=default", 1), ("callbacks.progress=null", 0)])
def test_a_bar_is_drawn_only_where_the_config_has_one(tmp_path, override, bars):
    config = compose("train", [f"folder={tmp_path}", "trainer.accelerator=cpu", override])
    trainer = build_trainer(to_plain(config), tmp_path)
    assert sum(isinstance(callback, ProgressBar) for callback in trainer.callbacks) == bars


@pytest.mark.parametrize("epochs, every, expected", [(8, 4, 4), (2, 4, 2), (-1, 4, 4)])
def test_a_run_cut_short_is_validated_at_its_end(tmp_path, epochs, every, expected):
    overrides = [f"trainer.max_epochs={epochs}", f"trainer.check_val_every_n_epoch={every}", "trainer.accelerator=cpu"]
    config = to_plain(compose("train", [f"folder={tmp_path}", *overrides]))
    assert build_trainer(config, tmp_path).check_val_every_n_epoch == expected


def test_fsdp_is_the_engines_own():
    assert isinstance(_strategy({"model": {"_target_": "engine.toys.Gan"}, "trainer": {"strategy": "fsdp"}}), Sharded)


FOUND = "ddp_find_unused_parameters_true"


@pytest.mark.parametrize(
    "model, trainer, expected",
    [
        ("Gan", {"strategy": "ddp", "devices": 2}, FOUND),
        ("Gan", {"devices": 2}, FOUND),
        ("Gan", {"strategy": "auto", "devices": 1, "num_nodes": 2}, FOUND),
        ("Gan", {"devices": 1}, "auto"),
        ("Regressor", {"strategy": "ddp", "devices": 2}, "ddp"),
        ("Regressor", {"devices": 2}, "auto"),
    ],
)
def test_ddp_looks_for_unused_parameters_where_parts_take_turns(model, trainer, expected):
    assert _strategy({"model": {"_target_": f"engine.toys.{model}"}, "trainer": trainer}) == expected
