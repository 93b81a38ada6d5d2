"""The translator's losses, weights, metrics and answers."""

from __future__ import annotations

import json

import pytest
import torch

from command_line import SMALL, refused, tenfold
from tenfold.errors import UserError
from tenfold.topics.transformer.networks import EncoderDecoder
from tenfold.topics.transformer.pairs import Pairs, RaggedPairs
from tenfold.topics.transformer.spec import END_IDX, SIGNS, PairSpec
from tenfold.topics.transformer.translation import Translator

LETTERS = tuple("abcdef")
PAIRS = [("abc", "cab"), ("f", "e"), ("de", "fff"), ("ba", "ab")]


def spec() -> PairSpec:
    return PairSpec((*SIGNS, *LETTERS), (*SIGNS, *LETTERS), "characters", 20, 6)


def translator(**options) -> Translator:
    torch.manual_seed(11)
    known = spec()
    network = EncoderDecoder(**known.network_arguments(), dim=16, encoder_layers=1, decoder_layers=1, num_heads=2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return Translator(known, network, **options).double().eval().requires_grad_(False)


def batch(pairs=PAIRS) -> Pairs:
    known = spec()
    data = RaggedPairs([known.encode_source(s) for s, _ in pairs], [known.encode_target(t) for _, t in pairs])
    return data.fetch(torch.arange(len(pairs)))


def nats(module: Translator, source: str, target: str) -> float:
    alone = batch([(source, target)])
    log_probabilities = module.network(alone.source, alone.target[:, :-1]).log_softmax(2)
    return -float(log_probabilities.take_along_dim(alone.target[:, 1:, None], 2).sum())


def test_the_loss_is_the_sum_over_target_tokens_and_the_weight_their_number_the_end_sign_counted():
    module = translator()
    assert float(module.losses(batch())["cross_entropy"]) == pytest.approx(sum(nats(module, *pair) for pair in PAIRS))
    assert int(module.weights(batch())["cross_entropy"]) == sum(len(target) + 1 for _, target in PAIRS)


def test_label_smoothing_is_of_training_only():
    plain, smoothed = translator(), translator(label_smoothing=0.2)
    assert float(smoothed.losses(batch())["cross_entropy"]) != pytest.approx(
        float(plain.losses(batch())["cross_entropy"])
    )
    evaluated = smoothed.evaluate(batch(), "val")["cross_entropy"]
    assert float(evaluated) == pytest.approx(float(plain.losses(batch())["cross_entropy"]))


def test_metrics_are_those_counted_pair_by_pair():
    module = translator()
    outputs = [module.translate(batch([pair]).source).tokens[0].tolist() for pair in PAIRS]
    answers = [module.spec.decode(torch.tensor([output]))[0] for output in outputs]
    pairs = [*PAIRS, *((source, answer) for (source, _), answer in zip(PAIRS, answers, strict=True))]
    for part in (pairs[:3], pairs[3:]):
        module.evaluate(batch(part), "val")
    found = module.measure("val")
    ends = [output[-1] == END_IDX for output in outputs]  # one that is cut off is wrong
    right = sum(end and answer == target for end, answer, (_, target) in zip(ends * 2, answers * 2, pairs, strict=True))
    ended = [batch([pair]) for pair in pairs]
    assert right >= 1
    assert found["exact_match"] == pytest.approx(right / len(pairs))
    predicted = [(module.network(b.source, b.target[:, :-1]).argmax(2) == b.target[:, 1:]) for b in ended]
    tokens = sum(p.numel() for p in predicted)
    assert found["token_accuracy"] == pytest.approx(sum(int(p.sum()) for p in predicted) / tokens)
    mean = sum(nats(module, *pair) for pair in pairs) / tokens
    assert found["perplexity"] == pytest.approx(torch.tensor(mean).exp().item())


def test_translated_limits_the_search_and_not_the_loss():
    module = translator(translated=3)
    for _ in range(2):
        for part in (PAIRS[:2], PAIRS[2:]):
            module.evaluate(batch(part), "test")
        assert sum(len(rows[0]) for rows in module.outputs["test"]._rows) == 3
        assert int(module.counts["test"][2]) == sum(len(target) + 1 for _, target in PAIRS)
        module.measure("test")


def test_a_given_beginning_is_kept():
    module = translator()
    source = batch().source
    begun = torch.tensor([[2, 5], [2, 6], [2, 7], [2, 8]])
    first = module.network(source, begun)[:, -1]
    first[:, :3] = -torch.inf
    answers = module.predict_inputs(source, begun)
    for answer, token in zip(answers, first.argmax(1).tolist(), strict=True):
        assert answer["output"][:1] == ("" if token == 3 else module.spec.target_tokens[token])


@pytest.mark.parametrize("options", [{"label_smoothing": 1.0}, {"translated": 0}])
def test_bad_options_are_refused(options):
    with pytest.raises(UserError, match=rf"model.{next(iter(options))}: found"):
        translator(**options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    rows = "".join(f"{a}{b}{c}\t{c}{b}{a}\n" for a in LETTERS for b in LETTERS for c in LETTERS)
    (folder / "pairs.tsv").write_text(rows, encoding="utf-8")
    small = ["data.batch_size=16", "data.max_length=12", "model.network.dim=32", "trainer.limit_train_batches=4"]
    data = f"data.path={folder / 'pairs.tsv'}"
    ended = tenfold("train", "experiment=transformer/pairs", data, f"folder={folder / 'run'}", *small, *SMALL)
    assert ended.code in (0, None), ended.err
    return folder / "run"


@pytest.mark.parametrize("beam", [1, 3])
def test_predict_translates_each_line(run, tmp_path, beam):
    lines = tmp_path / "lines.txt"
    lines.write_text("abc\n\nfade\nxay\n", encoding="utf-8")
    ended = tenfold("predict", f"run={run}", f"input={lines}", f"beam={beam}", "accelerator=cpu", "batch_size=2")
    assert ended.code in (0, None), ended.err
    answers = [json.loads(line) for line in ended.out.splitlines()]
    assert [answer["input"] for answer in answers] == ["abc", "fade", "xay"]
    assert all(isinstance(answer["output"], str) and answer["log_probability"] < 0 for answer in answers)
    assert [answer.get("unknown") for answer in answers] == [None, None, ["x", "y"]]


def test_a_wider_beam_finds_nothing_less_probable(run, tmp_path):
    lines = tmp_path / "lines.txt"
    lines.write_text("abc\nfad\ncab\ndef\n", encoding="utf-8")

    def scores(beam: int) -> list[float]:
        out = tenfold("predict", f"run={run}", f"input={lines}", f"beam={beam}", "accelerator=cpu").out
        return [json.loads(line)["log_probability"] for line in out.splitlines()]

    assert all(wide >= narrow - 1e-5 for narrow, wide in zip(scores(1), scores(20), strict=True))


def test_bad_requests_are_told_in_one_line(run, tmp_path):
    lines = tmp_path / "lines.txt"
    lines.write_text("abcabcabcabcabc\n", encoding="utf-8")
    told = refused("predict", f"run={run}", f"input={lines}", "accelerator=cpu")
    assert told == (
        "input: 'abcabcabcabcabc' has 15 characters, expected at most 12 (data.max_length when the model was trained)"
    )
    assert refused("predict", f"run={run}", f"input={lines}", "beam=0").startswith("beam: found 0, expected at least 1")
    assert refused("predict", f"run={run}").startswith("input: missing")
