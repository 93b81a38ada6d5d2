"""The game as a module: whose gradients, which weights, and what predict answers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from PIL import Image

from tenfold.data.base import Labelled
from tenfold.data.images.base import InMemory
from tenfold.data.images.spec import ImageSpec
from tenfold.engine.gather import Gathered
from tenfold.engine.parts import training_only
from tenfold.engine.request import Request, request_of
from tenfold.errors import UserError
from tenfold.judge import Judge
from tenfold.topics.classification.module import Classifier
from tenfold.topics.classification.networks import CNN
from tenfold.topics.gan.data import Gaussians25
from tenfold.topics.gan.images import ConditionalImageGAN, ImageGAN
from tenfold.topics.gan.networks import ImageDiscriminator, ImageGenerator, PointDiscriminator, PointGenerator
from tenfold.topics.gan.points import PointGAN

SPEC = ImageSpec(1, 8, 8, (0.3,), (0.25,), ("cat", "dog", "3"))
OPTIONS = {"n": None, "seed": None, "condition": None}


def image_gan(classes: int = 3, **options) -> ImageGAN:
    torch.manual_seed(0)
    sizes = {"in_channels": 1, "image_size": (8, 8), "num_classes": 3, "conditional": classes > 0}
    generator = ImageGenerator(**sizes, latent_size=4, channels=(8, 8))
    discriminator = ImageDiscriminator(**sizes, channels=(4,), features=8)
    kind = ConditionalImageGAN if classes else ImageGAN
    module = kind(SPEC, generator=generator, discriminator=discriminator, **options)
    module.config = {"recipe": "gan/test", "seed": 0}
    return module


def drawn(module, n: int = 6):
    pixels = torch.randint(0, 256, (n, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return module.drawn(Labelled(SPEC.normalise(pixels), torch.arange(n) % 3), 0)


@pytest.mark.parametrize("part", ["discriminator", "generator"])
@pytest.mark.parametrize("game", ["non_saturating", "relativistic", "wasserstein"])
def test_a_step_of_one_player_fills_no_gradient_of_the_other(part, game):
    module = image_gan(game=game, r1=1.0, r2=1.0, gradient_penalty=1.0, translate=1)
    losses, weights = module.objective(part)
    batch = drawn(module)
    with training_only(module, part):
        sum(losses(batch).values()).backward()
    assert set(losses(batch)) == set(weights(batch))
    for name in module.optimized:
        grads = [p.grad is not None and bool(p.grad.any()) for p in module.get_submodule(name).parameters()]
        assert any(grads) == (name == part)


def test_copies_of_any_training_image_are_told():
    """Of 60, though no more than four samples are made."""
    module = image_gan(eval_samples=4)
    whole = torch.randint(0, 256, (80, 1, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    train, held_out = InMemory(whole[:60], torch.arange(60) % 3), whole[60:].float() / 255
    module._trainer = SimpleNamespace(datamodule=SimpleNamespace(splits={"train": train}))
    module._known = features = torch.randn(20, 5, generator=torch.Generator().manual_seed(1))
    for rows in (slice(0, 20), slice(40, 60)):
        reals, fakes = module.gathered["test"] = Gathered(), Gathered()
        reals.add(held_out, features)
        fakes.add(whole[rows].float() / 255, features, torch.eye(3).repeat(7, 1)[:20])
        assert module.measure("test")["copied"] == 1


def test_the_discriminator_sees_pixels_of_real_images():
    module = image_gan()
    pixels = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    assert torch.allclose(module.real(SPEC.normalise(pixels)), pixels / 255, atol=1e-6)


def test_penalties_are_taken_in_full_precision_inside_autocast():
    module = image_gan(r1=1.0, gradient_penalty=1.0)
    batch = drawn(module)
    exact = module.discriminator_losses(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = module.discriminator_losses(batch)
    assert torch.allclose(mixed["r1"], exact["r1"], rtol=1e-6)
    assert mixed["gradient_penalty"].dtype == torch.float32


def test_a_judge_of_other_classes_is_refused_and_none_is_told():
    module = image_gan()
    other = ImageSpec(1, 8, 8, (0.3,), (0.25,), ("cat", "hen", "3"))
    with pytest.raises(UserError, match="model.judge: its classes are"):
        module.welcome("judge", Classifier(other, CNN(1, 8, 3, channels=(4,))))
    with pytest.raises(UserError, match="model.judge: found null, expected a run"):
        module.evaluate(drawn(module), "val")
    module.welcome("judge", Classifier(SPEC, CNN(1, 8, 3, channels=(4,))).eval())
    assert isinstance(module.judge(), Judge)
    assert not any("judge" in name or "companion" in name for name in module.state_dict())


class Watching(L.Callback):
    """The generator's weights while the validation samples are made, and after training's last step."""

    def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if not trainer.sanity_checking:
            self.sampled = module.generator.skip.weight.detach().clone()

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.raw = module.generator.skip.weight.detach().clone()


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    """A point GAN after a short fit under EMA, and what was watched."""
    torch.manual_seed(0)
    data = Gaussians25(samples=1000, batch_size=100)
    data.setup()
    module = PointGAN(data.spec, PointGenerator(2, 2, (8,)), PointDiscriminator(2, (8,)), r1=0.1, eval_samples=200)
    module.config = {"seed": 1, "optimizer": {"_target_": "torch.optim.AdamW", "lr": 0.01}, "scheduler": None}
    watching = Watching()
    trainer = L.Trainer(
        max_epochs=1,
        callbacks=[EMAWeightAveraging(decay=0.9), watching],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path_factory.mktemp("ema"),
    )
    trainer.fit(module, datamodule=data)
    return module, watching


def test_validation_samples_are_of_the_average(averaged):
    module, watching = averaged
    assert not torch.equal(watching.sampled, watching.raw)
    assert torch.equal(watching.sampled, module.generator.skip.weight)  # the average takes over at the end
    with torch.no_grad():
        again = module.make(200, seed=0) * module.spec.scale
    assert torch.allclose(module.evaluated["val"], again, atol=1e-6)


def request(module, folder: Path, **values) -> Request:
    common = {"run": ".", "checkpoint": "best", "input": None, "output": None, "batch_size": 4}
    return request_of(common | values, module, folder)


def test_predict_writes_a_grid_and_says_what_it_holds(tmp_path):
    module = image_gan().eval()
    with torch.no_grad():
        (answer,) = module.predict(request(module, tmp_path, n=9, condition="dog", seed=1))
    path = tmp_path / "samples.png"
    assert answer == {"output": str(path), "n": 9, "condition": "dog", "seed": 1}
    first = path.read_bytes()
    with Image.open(path) as picture:
        assert picture.size == (36, 36)
    with torch.no_grad():
        list(module.predict(request(module, tmp_path, n=9, condition="dog", seed=1, batch_size=256)))
        assert path.read_bytes() == first
        list(module.predict(request(module, tmp_path, n=9, condition="cat", seed=1)))
        assert path.read_bytes() != first
        (answer,) = module.predict(request(module, tmp_path, condition=3))
    assert answer["condition"] == "3" and answer["n"] == 64


@pytest.mark.parametrize(
    ("classes", "values", "message"),
    [
        (3, {"condition": "dot"}, "condition: found 'dot', expected cat, dog, 3; did you mean 'dog'?"),
        (3, {"n": 0}, "n: found 0, expected at least 1"),
        (0, {"condition": "dog"}, "condition: gan/test has no such option; it takes n, seed"),
    ],
)
def test_bad_requests_are_told_in_a_line_and_leave_no_file(classes, values, message, tmp_path):
    module = image_gan(classes).eval()
    with pytest.raises(UserError) as told:
        list(module.predict(request(module, tmp_path, **values)))
    assert str(told.value) == message
    assert not any(tmp_path.iterdir())


def test_points_are_drawn_into_a_picture(averaged, tmp_path):
    module, _ = averaged
    (answer,) = module.predict(request(module, tmp_path, n=50, seed=2))
    assert answer == {"output": str(tmp_path / "samples.png"), "n": 50, "seed": 2}
    with Image.open(tmp_path / "samples.png") as picture:
        assert min(picture.size) > 100


@pytest.mark.parametrize("classes", [0, 3])
def test_the_exported_generator_says_what_it_takes_and_gives(classes):
    said = image_gan(classes).preprocessing()
    assert said["input"] == "float32 [batch, 4], standard normal noise"
    assert said["output"] == "float32 [batch, 1, 8, 8], grey, pixels from 0 to 1"
    assert said.get("class_names") == ("cat, dog, 3" if classes else None)
    assert ("condition" in said) == bool(classes)


@pytest.mark.parametrize("key", ["critic_steps", "eval_samples"])
def test_numbers_that_make_no_sense_are_refused(key):
    with pytest.raises(UserError, match=f"model.{key}: found 0, expected at least"):
        image_gan(**{key: 0})
