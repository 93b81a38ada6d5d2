"""The modules: what they weigh and draw, what they make of options, and what they refuse."""

import math

import pytest
import torch

from tenfold.data.base import Labelled
from tenfold.data.images.spec import ImageSpec
from tenfold.data.labels import asked_labels
from tenfold.data.text.spec import TextSpec
from tenfold.engine.request import Request, request_of
from tenfold.errors import UserError
from tenfold.topics.conditional_generation.flow import FlowMatching
from tenfold.topics.conditional_generation.flow_networks import VelocityUNet
from tenfold.topics.conditional_generation.subset import spread
from tenfold.topics.conditional_generation.text import ConditionalText
from tenfold.topics.conditional_generation.text_networks import ConditionalGRU
from tenfold.topics.conditional_generation.vae import ConditionalVAE
from tenfold.topics.conditional_generation.vae_networks import VAE

IMAGES = ImageSpec(1, 8, 8, (0.3,), (0.4,), ("cat", "dog", "hen"))
TEXTS = TextSpec(("negative", "positive"), "words", ("<pad>", "<unk>", "good", "bad", "film"), 5)


def _vae(**settings):
    torch.manual_seed(0)
    return ConditionalVAE(IMAGES, VAE(1, (8, 8), 3, latent_size=4, width=8, condition_dim=8), **settings).eval()


def _flow(**settings):
    torch.manual_seed(0)
    return FlowMatching(
        IMAGES, VelocityUNet(1, (8, 8), 3, width=8, depth=1, condition_dim=8), steps=2, **settings
    ).eval()


def _text(**settings):
    torch.manual_seed(0)
    return ConditionalText(TEXTS, ConditionalGRU(5, 2, 8, 8), **settings).eval()


def _images(size=6):
    generator = torch.Generator().manual_seed(0)
    return Labelled(torch.randn(size, 1, 8, 8, generator=generator), torch.arange(size) % 3)


@pytest.mark.parametrize("make", [_vae, _flow])
def test_pixels_of_normalised_images_are_the_pixels(make):
    pixels = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(make().pixels_of((pixels - 0.3) / 0.4), pixels)


def test_binary_pixels_are_drawn_with_their_grey_as_probability():
    batch = Labelled(torch.full((4000, 1, 8, 8), (0.2 - 0.3) / 0.4), torch.zeros(4000, dtype=torch.long))
    pixels = _vae().drawn(batch, 1).pixels
    assert set(pixels.unique().tolist()) == {0.0, 1.0}
    assert float(pixels.mean()) == pytest.approx(0.2, abs=0.005)
    grey = _vae(likelihood="gaussian").drawn(batch, 1).pixels
    torch.testing.assert_close(grey, torch.full_like(grey, 0.2))


def test_the_elbo_is_at_most_the_importance_weighted_bound():
    module = _vae(importance_samples=60)
    batch = module.drawn(_images(), 1)
    with torch.no_grad():
        mean, log_variance = module.network.encoder(batch.pixels, batch.labels)
        elbos = [
            -sum(module._terms(module.drawn(_images(), 1)._replace(noise=noise), mean, log_variance).values()) / 6
            for noise in torch.randn(30, 6, 4, generator=torch.Generator().manual_seed(1))
        ]
        bound = module.importance_bound(batch.pixels, batch.labels, mean, log_variance).mean()
    assert float(bound) > float(torch.stack(elbos).mean())


def test_beta_weighs_the_kl_in_training_and_never_in_evaluation():
    batch = _vae().drawn(_images(), 1)
    with torch.no_grad():
        plain, weighed = (_vae(beta=beta).losses(batch) for beta in (1.0, 0.5))
        measured = _vae(beta=0.5).evaluate(batch, "val")
    torch.testing.assert_close(weighed["kl"], plain["kl"] / 2)
    torch.testing.assert_close(measured["kl"], plain["kl"])


def test_dropped_labels_train_the_model_of_all_classes_and_are_measured_with_their_own():
    batch = _flow().drawn(_images(), 1)
    kept, dropped = (batch._replace(dropped=torch.full((6,), flag)) for flag in (False, True))
    module = _flow()
    for parameter in module.network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    with torch.no_grad():
        assert float(module.losses(kept)["velocity"]) != float(module.losses(dropped)["velocity"])
        assert float(module.evaluate(dropped, "val")["velocity"]) == float(module.losses(kept)["velocity"])


def test_about_as_many_labels_are_dropped_as_asked():
    assert float(_flow(drop_condition=0.3).drawn(_images(5000), 1).dropped.double().mean()) == pytest.approx(
        0.3, abs=0.03
    )
    assert not _flow(drop_condition=0.0).drawn(_images(500), 1).dropped.any()


def test_each_token_and_each_end_is_learned_but_no_end_that_the_data_cut_off():
    batch = Labelled(torch.tensor([[2, 3, 0, 0, 0], [2, 2, 3, 4, 4]]), torch.tensor([0, 1]))
    module = _text()
    assert module._learned(batch.inputs).tolist() == [[True] * 3 + [False] * 3, [True] * 5 + [False]]
    drawn = module.drawn(batch, 1)._replace(dropped=torch.tensor([False, False]))
    assert module.weights(drawn) == {"cross_entropy": 8}
    with torch.no_grad():
        logits = module.network(torch.tensor([[0, 2, 3, 0, 0, 0], [0, 2, 2, 3, 4, 4]]), batch.labels).log_softmax(2)
        expected = -sum(float(logits[0, t, token]) for t, token in enumerate([2, 3, 0]))
        expected -= sum(float(logits[1, t, token]) for t, token in enumerate([2, 2, 3, 4, 4]))
        assert float(module.losses(drawn)["cross_entropy"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("make", [_vae, _flow])
def test_a_seed_decides_the_samples_however_many_are_made_at_once(make):
    module, labels = make(), torch.arange(7) % 3
    whole = module.sample(labels, seed=5)
    torch.testing.assert_close(module.sample(labels, seed=5, at_once=3), whole)
    assert not torch.equal(module.sample(labels, seed=6), whole)
    assert whole.shape == (7, 1, 8, 8) and float(whole.min()) >= 0 and float(whole.max()) <= 1


def test_a_temperature_of_zero_decodes_the_same_mean_and_guidance_of_one_is_the_default():
    same = _vae().sample(torch.zeros(3, dtype=torch.long), seed=1, setting=0.0)
    torch.testing.assert_close(same[0], same[2])
    module = _flow()
    for parameter in module.network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    labels = torch.arange(3)
    torch.testing.assert_close(module.sample(labels, 1), module.sample(labels, 1, setting=1.0))
    assert not torch.allclose(module.sample(labels, 1), module.sample(labels, 1, setting=3.0))


@pytest.mark.parametrize("make", [_vae, _flow])
def test_predict_writes_a_grid_and_says_so(make, tmp_path):
    module = make()
    output = tmp_path / "samples.png"
    answers = list(module.predict(Request(output=output, options=module.options_class(n=5, condition="hen", seed=1))))
    assert answers == [{"output": str(output), "n": 5, "condition": "hen", "seed": 1}]
    assert output.read_bytes().startswith(b"\x89PNG")


def _asked(module, folder, **values):
    """As `tenfold predict` asks it."""
    module.config["recipe"] = "conditional_generation/test"
    return request_of({"input": None, "output": None, "batch_size": 8} | values, module, folder)


def test_predicted_texts_name_their_class():
    answers = list(_text().predict(Request(options=_text().options_class(n=3, condition="positive", length=4, seed=2))))
    assert [answer["condition"] for answer in answers] == ["positive"] * 3
    assert all(1 <= len(answer["text"].split()) <= 4 for answer in answers)
    assert answers == list(
        _text().predict(Request(options=_text().options_class(n=3, condition="positive", length=4, seed=2)))
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"n": 0}, "n: found 0, expected at least 1"),
        ({"condition": "hem"}, "condition: found 'hem', expected cat, dog, hen; did you mean 'hen'?"),
        ({"condition": 7}, "condition: found '7', expected cat, dog, hen"),
        ({"seed": -1}, "seed: found -1, expected 0 to 9.22337e+18"),
        ({"guidance": -2.0}, "guidance: found -2.0, expected at least 0"),
        ({"guidance": math.nan}, "guidance: found nan, expected at least 0"),
        ({"guidance": math.inf}, "guidance: found inf, expected at least 0"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_a_line_and_nothing_is_written(options, says, tmp_path):
    module = _flow()
    with pytest.raises(UserError) as refusal:
        list(module.predict(_asked(module, tmp_path, **options)))
    assert str(refusal.value) == says
    assert not list(tmp_path.iterdir())


def test_inputs_lengths_and_temperatures_that_make_no_sense_are_refused(tmp_path):
    for module in (_vae(), _text()):
        with pytest.raises(UserError, match="input: found 'a.png', but .* makes its answers itself"):
            _asked(module, tmp_path, input="a.png")
    with pytest.raises(UserError, match="length: found 0, expected at least 1"):
        _asked(_text(), tmp_path, length=0)
    with pytest.raises(UserError, match="temperature: found -1.0, expected at least 0"):
        _asked(_vae(), tmp_path, temperature=-1.0)


@pytest.mark.parametrize(
    ("make", "settings", "says"),
    [
        (_vae, {"likelihood": "binomial"}, "model.likelihood: found 'binomial', expected bernoulli or gaussian"),
        (_vae, {"num_samples": 1}, "model.num_samples: found 1, expected at least 2"),
        (_vae, {"importance_samples": 0}, "model.importance_samples: found 0, expected at least 1"),
        (_flow, {"solver": "rk4"}, "model.solver: found 'rk4', expected heun or euler"),
        (_flow, {"drop_condition": 1.5}, "model.drop_condition: found 1.5, expected 0 to 1"),
        (_text, {"top_p": 2.0}, "model.top_p: found 2.0, expected 0 to 1"),
        (_text, {"test_samples": 0}, "model.test_samples: found 0, expected at least 1"),
    ],
)
def test_settings_out_of_bounds_are_refused(make, settings, says):
    with pytest.raises(UserError) as refusal:
        make(**settings)
    assert str(refusal.value) == says


def test_sides_that_cannot_be_halved_are_refused():
    for build in (lambda: VAE(1, (10, 8), 3), lambda: VelocityUNet(1, (10, 8), 3)):
        with pytest.raises(UserError, match="expected sides that are multiples of 4"):
            build()


def test_a_judge_of_other_things_is_refused():
    other = ConditionalText(TextSpec(("bad", "good"), "words", TEXTS.tokens, 5), ConditionalGRU(5, 2, 8, 8))
    with pytest.raises(UserError, match="its classes are negative, positive, expected bad, good"):
        other.welcome("judge", _text())
    with pytest.raises(UserError, match="expected a classifier of texts"):
        _text().welcome("judge", _vae())
    with pytest.raises(UserError, match="expected a classifier of images"):
        _vae().welcome("judge", _text())


def test_without_a_condition_every_class_is_asked_for_in_turn():
    assert asked_labels(5, None, ("a", "b")).tolist() == [0, 1, 0, 1, 0]


def test_a_few_rows_of_a_sorted_split_are_of_every_class():
    labels = torch.arange(10).repeat_interleave(40)
    assert labels[spread(20, 400)].bincount().tolist() == [2] * 10
    assert spread(9, 4).tolist() == [0, 1, 2, 3]
    assert spread(3, 0).tolist() == []
