"""The language model's losses, weights, metrics and continuations."""

from __future__ import annotations

import json
import math

import pytest
import torch

from command_line import SMALL, refused, tenfold
from tenfold.topics.transformer.language_model import LanguageModel
from tenfold.topics.transformer.networks import Decoder
from tenfold.topics.transformer.running_text import Blocks
from tenfold.topics.transformer.spec import CharacterSpec

SPEC = CharacterSpec(("<pad>", "<unk>", *"abcde \n"), block=8)


def model() -> LanguageModel:
    torch.manual_seed(0)
    network = Decoder(**SPEC.network_arguments(), dim=16, num_layers=1, num_heads=2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return LanguageModel(SPEC, network).double().eval().requires_grad_(False)


BLOCKS = Blocks(
    torch.randint(2, 9, (3, 9), generator=torch.Generator().manual_seed(0)), context=torch.tensor([0, 5, 7])
)


def nats(module: LanguageModel) -> torch.Tensor:
    """Of every character that counts, one after the other."""
    log_probabilities = module.network(BLOCKS.tokens[:, :-1]).log_softmax(2)
    found = -log_probabilities.take_along_dim(BLOCKS.tokens[:, 1:, None], 2).squeeze(2)
    return torch.cat([row[int(lead) :] for row, lead in zip(found, BLOCKS.context, strict=True)])


def test_the_loss_is_the_sum_over_characters_that_count_and_the_weight_their_number():
    module = model()
    expected = nats(module)
    assert len(expected) == 8 + 3 + 1 == int(module.weights(BLOCKS)["cross_entropy"])
    assert float(module.losses(BLOCKS)["cross_entropy"]) == pytest.approx(float(expected.sum()))


def test_what_only_leads_up_to_others_gets_no_gradient_of_its_own():
    module = model()
    changed = BLOCKS.tokens.clone()
    before = module.losses(BLOCKS)["cross_entropy"]
    changed[2, 8] = changed[2, 8] % 7 + 2  # the one that counts in the last block
    assert float(module.losses(Blocks(changed, BLOCKS.context))["cross_entropy"]) != pytest.approx(float(before))
    shifted = Blocks(BLOCKS.tokens[2:], torch.tensor([8]))
    assert float(module.losses(shifted)["cross_entropy"]) == 0


def test_bits_perplexity_and_accuracy_are_of_the_same_characters():
    module = model()
    for part in (slice(0, 1), slice(1, 3)):
        module.evaluate(Blocks(BLOCKS.tokens[part], BLOCKS.context[part]), "val")
    found, expected = module.measure("val"), float(nats(module).mean())
    assert found["bits_per_character"] == pytest.approx(expected / math.log(2))
    assert found["perplexity"] == pytest.approx(math.exp(expected))
    right = module.network(BLOCKS.tokens[:, :-1]).argmax(2) == BLOCKS.tokens[:, 1:]
    counted = [row[int(lead) :] for row, lead in zip(right, BLOCKS.context, strict=True)]
    assert found["accuracy"] == pytest.approx(float(torch.cat(counted).double().mean()))


def test_a_text_goes_on_with_the_most_probable_character_at_temperature_zero():
    module = model()
    prompt = SPEC.encode("abc")
    text = list(prompt)
    for _ in range(10):
        logits = module.network(torch.tensor([text]))[0, -1]
        logits[:2] = -torch.inf
        text.append(int(logits.argmax()))
    expected = SPEC.decode(torch.tensor([text[3:]]))
    assert module.continued(torch.tensor([prompt]), 10, 0.0, seed=1) == expected


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    (folder / "text.txt").write_text("the cat sat on the mat.\n" * 100, encoding="utf-8")
    small = ["data.batch_size=8", "data.block=32", "data.context=16", "model.network.dim=32"]
    small += [f"data.path={folder / 'text.txt'}", "trainer.limit_train_batches=4"]
    ended = tenfold("train", "experiment=transformer/text_files", f"folder={folder / 'run'}", *small, *SMALL)
    assert ended.code in (0, None), ended.err
    return folder / "run"


def predicted(run, *arguments: str) -> list[dict]:
    ended = tenfold("predict", f"run={run}", "accelerator=cpu", *arguments)
    assert ended.code in (0, None), ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


def test_each_prompt_is_continued(run, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("the cat\non the\n", encoding="utf-8")
    answers = predicted(run, f"input={prompts}", "n=2", "length=40", "temperature=1.0")
    assert [answer["input"] for answer in answers] == ["the cat", "the cat", "on the", "on the"]
    assert all(len(answer["output"]) == 40 for answer in answers)
    assert answers[0]["output"] != answers[1]["output"]


def test_a_seed_draws_the_same_and_another_another(run):
    first, again, other = (predicted(run, f"seed={seed}", "length=60", "temperature=1.0") for seed in (3, 3, 4))
    assert first == again != other
    assert first[0]["input"] == ""


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["length=0"], "length: found 0, expected at least 1"),
        (["n=0"], "n: found 0, expected at least 1"),
        (["temperature=-1.0"], "temperature: found -1.0, expected at least 0"),
        (["beam=3"], "beam: transformer/text_files has no such option"),
    ],
)
def test_bad_options_are_told_in_one_line(run, arguments, line):
    assert refused("predict", f"run={run}", *arguments).startswith(line)


def test_a_prompt_of_unknown_characters_is_told_in_one_line(run, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("the Ü\n", encoding="utf-8")
    told = refused("predict", f"run={run}", f"input={prompts}")
    assert told.startswith("input: character 5 of 'the Ü', 'Ü', is none of the ")
