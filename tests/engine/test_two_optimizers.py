"""Several optimizers: each part accumulates apart, and the primary's steps are the ones that count."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torch.optim import Optimizer

from engine.toys import Gan, Regressor, ToyData, difference, draw_weights, flat, sgd, train, warmup
from tenfold.engine.accumulation import Stepping
from tenfold.errors import UserError


def by_hand(steps: int, batches: list) -> Gan:
    """The same training without the engine: whole batches, plain torch."""
    gan = Gan()
    draw_weights(gan, seed=1)
    optimizers = {
        name: torch.optim.SGD(gan.get_submodule(name).parameters(), lr=0.02, momentum=0.9) for name in gan.optimized
    }
    for batch in batches[:steps]:
        for name, losses in (("discriminator", gan.discriminator_losses), ("generator", gan.losses)):
            gan.zero_grad()
            (losses(batch)["adversarial"] / batch.valid.sum()).backward()
            optimizers[name].step()
    return gan


class Watched(Gan):
    """Notes whose gradients there are at each optimizer step, and the batches."""

    def training_step(self, batch, batch_idx):
        vars(self).setdefault("batches", []).append(batch)
        super().training_step(batch, batch_idx)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        index = self.trainer.optimizers.index(optimizer)
        norms = {
            name: [float(p.grad.norm()) for p in self.get_submodule(name).parameters() if p.grad is not None]
            for name in self.optimized
        }
        vars(self).setdefault("seen", []).append((self.optimized[index], norms))
        super().on_before_optimizer_step(optimizer)


@pytest.mark.parametrize("stepping", [Stepping(), Stepping(micro_batch_size=3), Stepping(accumulate_grad_batches=4)])
def test_each_part_accumulates_apart(stepping):
    gan = Watched()
    trainer = train(gan, ToyData(22, 8), stepping=stepping, max_epochs=4)
    assert trainer.global_step == 12
    assert difference(gan, by_hand(12, gan.batches)) <= 1e-5
    assert [name for name, _ in gan.seen[:4]] == ["discriminator", "generator"] * 2
    after = None  # the discriminator's gradients are untouched by the generator's backward pass
    for name, norms in gan.seen:
        if name == "discriminator":
            after = norms["discriminator"]
        else:
            assert norms["discriminator"] == after
    assert all(p.requires_grad for p in gan.parameters())


def test_max_steps_counts_the_primary_alone():
    gan = Watched()
    trainer = train(gan, ToyData(22, 8), max_steps=10, max_epochs=-1)
    assert trainer.global_step == 10
    assert (
        [name for name, _ in gan.seen].count("generator") == [name for name, _ in gan.seen].count("discriminator") == 10
    )


def test_a_primary_that_steps_less_often_still_decides():
    gan = Watched(batches_each=5, scheduler=warmup(decay="constant"))
    trainer = train(gan, ToyData(42, 8), max_steps=4, max_epochs=-1)  # six batches an epoch, the fifth trains both
    names = [name for name, _ in gan.seen]
    assert trainer.global_step == names.count("generator") == 4
    assert names.count("discriminator") > 4 * 4
    generator, discriminator = gan.schedulers.each
    assert (generator.last_epoch, discriminator.last_epoch) == (4, names.count("discriminator"))


def test_schedulers_step_once_an_optimizer_step_whatever_the_cut():
    gan = Watched(scheduler={"generator": warmup(), "discriminator": warmup(warmup=4, decay="linear")})
    train(gan, ToyData(22, 8), stepping=Stepping(micro_batch_size=2), max_epochs=2)
    assert [scheduler.last_epoch for scheduler in gan.schedulers.each] == [6, 6]
    assert [rate == 0 for rate in gan.learning_rates().values()] == [True, True]  # both have come to their end
    assert set(gan.learning_rates()) == {"train/lr_generator", "train/lr_discriminator"}


def test_a_part_without_an_optimizer_is_named():
    with pytest.raises(UserError, match="'discriminator'"):
        train(Gan(optimizer={"generator": sgd()}), ToyData(8, 8))


@pytest.mark.parametrize("micro", [None, 3])
@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_clipping_happens_once_on_the_whole_gradient(micro, algorithm):
    module, data = Regressor(optimizer=sgd(lr=1.0, momentum=0.0)), ToyData(8, 8, validation=False)
    clip = 0.01
    reference = Regressor()
    draw_weights(reference, seed=1)
    before = flat(reference)
    data.setup()
    batch = data.sample("train", 8)
    sums, weights = reference.losses(batch), reference.weights(batch)
    sum(sums[name] / float(weights[name]) for name in sums).backward()
    if algorithm == "norm":
        norm = torch.nn.utils.clip_grad_norm_(reference.parameters(), clip)
    else:
        torch.nn.utils.clip_grad_value_(reference.parameters(), clip)
    stepping = Stepping(micro_batch_size=micro, gradient_clip_val=clip, gradient_clip_algorithm=algorithm)
    train(module, data, stepping=stepping, log_every_n_steps=1)
    assert torch.allclose(before - flat(module), flat(p.grad for p in reference.parameters()), rtol=1e-5, atol=1e-7)
    if algorithm == "norm":
        assert float(module.journal.gradient_norm) == pytest.approx(float(norm), rel=1e-5)


def test_the_logged_norm_is_that_of_the_primary():
    gan = Watched()
    train(gan, ToyData(8, 8), stepping=Stepping(gradient_clip_val=1e-3), log_every_n_steps=1)
    primary = torch.tensor(gan.seen[-1][1]["generator"]).norm()
    assert gan.seen[-1][0] == "generator" and float(gan.journal.gradient_norm) == pytest.approx(float(primary))


def test_plateau_follows_validation_and_an_epoch_schedule_the_epochs():
    plateau = {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "patience": 0, "threshold": 0.9, "factor": 0.5}
    module = Regressor(scheduler=plateau)
    train(module, ToyData(16, 8), max_epochs=3)
    assert module.learning_rates()["train/lr"] == pytest.approx(0.02 / 4)  # the first score is taken as the best
    every_other = Regressor(scheduler=plateau)
    train(every_other, ToyData(16, 8), max_epochs=4, check_val_every_n_epoch=2)
    assert every_other.learning_rates()["train/lr"] == pytest.approx(0.02 / 2)
    with pytest.raises(UserError, match="nothing is validated"):
        train(Regressor(scheduler=plateau), ToyData(16, 8, validation=False), max_epochs=3)


@pytest.mark.parametrize("validation", [True, False])
def test_an_epoch_schedule_counts_epochs(validation):
    module = Regressor(scheduler={"_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1, "interval": "epoch"})
    train(module, ToyData(16, 8, validation=validation), max_epochs=3, num_sanity_val_steps=1)
    assert module.learning_rates()["train/lr"] == pytest.approx(0.02 * 0.1**3)


def test_losses_may_differ_from_part_to_part():
    """`objective` gives a part's own losses and weights: here a loss that the other part does not have."""

    class Pair(Gan):
        def training_step(self, batch, batch_idx):
            self.means = self.update("generator", batch)

        def objective(self, part):
            return (
                lambda b: {"own": F.mse_loss(self.generator(b.inputs)[..., 0], b.targets, reduction="sum")},
                lambda b: {"own": b.targets.numel()},
            )

    pair, data = Pair(), ToyData(8, 8)
    train(pair, data, stepping=Stepping(micro_batch_size=3))
    assert set(pair.means) == {"own"} and all(p.grad is None for p in pair.discriminator.parameters())
