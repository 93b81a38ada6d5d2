"""What is logged is the undivided batch's; a loss that is not finite stops the run and keeps the last checkpoint."""

from __future__ import annotations

import time

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from engine.toys import Gan, Regressor, ToyData, sgd, train
from tenfold.engine.accumulation import Stepping
from tenfold.errors import UserError


def rows(logger: CSVLogger) -> list[dict[str, float]]:
    return [row for row in logger.experiment.metrics if "train/loss" in row]


@pytest.mark.parametrize("stepping", [Stepping(), Stepping(micro_batch_size=3), Stepping(accumulate_grad_batches=5)])
def test_the_logged_loss_is_that_of_the_undivided_batch(tmp_path, stepping):
    class Keeping(CSVLogger):
        def save(self) -> None:  # a save would empty the list that the test reads
            pass

    module, logger = Regressor(optimizer=sgd(lr=0.0)), Keeping(tmp_path)
    data = ToyData(16, 8)
    train(module, data, tmp_path, stepping, logger=logger, log_every_n_steps=2)
    batches = [data.splits["train"].fetch(indices) for indices in data.train_dataloader().order.batches(0)]
    expected = []
    for batch in batches:
        sums, weights = module.losses(batch), module.weights(batch)
        expected.append(sum(float(sums[name].detach()) / float(weights[name]) for name in sums))
    (row,) = rows(logger)
    assert row["train/loss"] == pytest.approx(sum(expected) / 2, rel=1e-5)
    assert row["train/loss"] == pytest.approx(sum(row[f"train/{name}"] for name in ("tokens", "samples", "weighted")))
    assert {"train/lr", "train/grad_norm", "train/samples_per_second"} <= row.keys()


def test_a_primary_that_rests_is_not_logged_twice(tmp_path):
    class Keeping(CSVLogger):
        def save(self) -> None:
            pass

    logger = Keeping(tmp_path)
    train(Gan(batches_each=3), ToyData(48, 4), tmp_path, logger=logger, log_every_n_steps=2, max_epochs=2)
    assert [row["step"] for row in rows(logger)] == [2, 4, 6, 8]


def test_throughput_leaves_validation_out():
    class SlowToValidate(Regressor):
        def evaluate(self, batch, stage):
            time.sleep(0.3)
            return super().evaluate(batch, stage)

    module = SlowToValidate()
    train(module, ToyData(8, 4), log_every_n_steps=4, max_epochs=2)
    elapsed = 16 / module.journal.latest["train/samples_per_second"]
    assert 0 < elapsed < module.trainer.num_val_batches[0] * 0.3 + 0.3  # with it, at least that and the steps' own time


class Broken(Regressor):
    def losses(self, batch):
        factor = float("nan") if self.trainer.global_step == 5 and self.training else 1.0
        return {name: total * factor for name, total in super().losses(batch).items()}


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    module = Broken()
    with pytest.raises(
        UserError, match=r"loss: not finite at step 6 \(epoch 1, batch 2\).*last good checkpoint is .*last.ckpt"
    ):
        train(
            module, ToyData(12, 4), tmp_path, max_epochs=3, enable_checkpointing=True,
            callbacks=[ModelCheckpoint(tmp_path / "checkpoints", save_last=True)],
        )  # fmt: skip
    kept = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    assert kept["global_step"] == 3 and all(p.isfinite().all() for p in kept["state_dict"].values())
    assert all(p.isfinite().all() for p in module.parameters())  # the step was not taken


def test_a_patient_journal_tells_of_the_step_where_it_began(tmp_path):
    """As on a GPU, where the loss is looked at no sooner than a checkpoint is saved."""

    class Patient(Broken):
        def on_fit_start(self) -> None:
            super().on_fit_start()
            self.journal._patient = True

    with pytest.raises(UserError, match=r"step 6 \(epoch 1, batch 2\).*no checkpoint"):
        train(Patient(), ToyData(12, 4), tmp_path, max_epochs=2, enable_checkpointing=True,
              callbacks=[ModelCheckpoint(tmp_path, filename="x", every_n_epochs=2)])  # fmt: skip
    assert not list(tmp_path.glob("*.ckpt"))
