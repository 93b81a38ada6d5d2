"""A GAN finds modes that one Gaussian does not, in a few hundred steps."""

from __future__ import annotations

import lightning as L
import torch

from tenfold.topics.gan.data import Gaussians25
from tenfold.topics.gan.networks import PointDiscriminator, PointGenerator
from tenfold.topics.gan.points import PointGAN


def test_a_gan_of_points_learns_where_the_modes_are(tmp_path):
    torch.manual_seed(0)
    data = Gaussians25(samples=25_600, deviation=0.15, batch_size=128)
    data.setup()
    module = PointGAN(
        data.spec,
        PointGenerator(2, 2, (64, 64), octaves=2),
        PointDiscriminator(2, (64, 64), octaves=2),
        game="relativistic",
        r1=0.01,
        r2=0.01,
        eval_samples=5000,
    )
    module.config = {
        "seed": 1,
        "optimizer": {"_target_": "torch.optim.AdamW", "lr": 0.008, "betas": [0.0, 0.99]},
        "scheduler": None,
    }
    trainer = L.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.validate(module, datamodule=data, verbose=False)
    before = dict(trainer.callback_metrics)
    trainer.fit(module, datamodule=data)
    after, one_gaussian = trainer.callback_metrics, data.baseline("val")
    assert before["val/good"] < 0.25
    assert after["val/modes"] >= 20
    assert after["val/good"] > 2.5 * one_gaussian["good"]
    assert after["val/divergence"] < 0.6 * one_gaussian["divergence"]
