"""The command line from end to end, on small runs."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from command_line import SMALL, refused, tenfold, written
from contract.stand_ins import csv_table
from tenfold.cli import VERBS
from tenfold.config.check import check_config
from tenfold.config.compose import compose
from tenfold.engine import runs
from tenfold.engine.checkpoint import load_checkpoint

IRIS = ("experiment=classification/iris", *SMALL)
DIGITS = (
    "experiment=classification/digits",
    *SMALL,
    "model.network.channels=[4,4,4]",
    "trainer.limit_train_batches=4",
)


# Help, list, completion ----------------------------------------------------------------------------------------------

LIGHT = [
    ["--help"],
    ["--version"],
    *([verb, "--help"] for verb in VERBS),
    ["list"],
    ["list", "classification"],
    ["train", "--cfg", "job"],
    ["completion", "bash"],
    ["completion", "--query", "tenfold train optimizer="],
    ["completion", "--query", "tenfold train trainer.max_"],
]


def test_what_is_to_answer_at_once_imports_nothing_heavy():
    """In one fresh process, which says what each command printed and what was imported by then."""
    heavy = {"torch", "lightning", "torchvision", "numpy", "pandas", "sklearn", "matplotlib"}
    code = f"""
import contextlib, io, sys
from tenfold.cli import main
for arguments in {LIGHT!r}:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main(arguments)
    print(len(out.getvalue()), *sorted({heavy!r} & sys.modules.keys()))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr
    for arguments, line in zip(LIGHT, done.stdout.splitlines(), strict=True):
        length, *imported = line.split()
        assert int(length) > 1 and not imported, (arguments, line)


def test_help_names_every_verb_and_each_verb_shows_how_it_is_used():
    text = tenfold("--help").out
    assert text == tenfold().out == tenfold("help").out
    for verb in VERBS:
        assert f"\n  {verb} " in text
        assert f"tenfold {verb} " in tenfold(verb, "--help").out


def test_list_tells_recipes_of_a_topic():
    lines = tenfold("list", "classification").out.splitlines()
    assert "classification" in lines
    recipes = [line.split()[0] for line in lines if line.startswith("  ")]
    assert "classification/digits" in recipes
    assert all(recipe.startswith("classification/") for recipe in recipes)


@pytest.mark.parametrize("line, expected", [
    ("tenfold tr", "train"),
    ("tenfold train experiment=classification/dig", "experiment=classification/digits"),
    ("tenfold train optimizer=", "optimizer=adamw"),
    ("tenfold train optimizer.l", "optimizer.lr="),
    ("tenfold train trainer.max_e", "trainer.max_epochs="),
    ("tenfold export form", "format="),
])  # fmt: skip
def test_completion(line, expected):
    assert expected in tenfold("completion", "--query", line).out.splitlines()


def test_the_composed_config_is_shown_without_running_it():
    code, out, _ = tenfold("train", "--cfg", "job", "trainer.max_epochs=7")
    assert code == 0
    assert "  max_epochs: 7\n" in out
    assert not written()


def test_the_module_is_the_program():
    done = subprocess.run([sys.executable, "-m", "tenfold", "list", "nope"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("tenfold: list: ")
    assert len(done.stderr.splitlines()) == 1


# One run, from training to the end -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A run that the commands after training are given; they add files to it, and one resumes it."""
    outputs = tmp_path_factory.mktemp("outputs")
    ended = tenfold("train", *DIGITS, f"outputs={outputs}")
    assert ended.code == 0, ended.err
    (folder,) = (outputs / "classification" / "digits").iterdir()
    return outputs, folder, ended


def test_train_ends_with_a_table_the_folder_and_the_dashboard(digits):
    _, folder, ended = digits
    metrics = runs.read_metrics(folder)["metrics"]
    row = next(line.split() for line in ended.out.splitlines() if line.startswith("accuracy "))
    assert row[1] == f"{metrics['val/accuracy']:.4f}"
    head = next(line for line in ended.out.splitlines() if "baseline" in line).split()
    assert head == ["val", "baseline", "test", "baseline"]
    assert f"run folder  {folder}" in ended.out
    assert f"tensorboard --logdir {folder}" in ended.out
    assert ended.err == ""


@pytest.mark.parametrize("address", ["latest", "best:val/accuracy", "{folder}", "{folder}/checkpoints/best.ckpt"])
def test_evaluate_measures_what_training_reported(address, digits):
    outputs, folder, _ = digits
    ended = tenfold("evaluate", f"run={address.format(folder=folder)}", f"outputs={outputs}", "accelerator=cpu")
    assert ended.code == 0, ended.err
    measured = json.loads((folder / "evaluate-test.json").read_text())["metrics"]
    reported = runs.read_metrics(folder)["metrics"]
    assert measured["test/accuracy"] == reported["test/accuracy"]
    assert measured["test/loss"] == pytest.approx(reported["test/loss"], rel=1e-5)


def test_predict_answers_each_input_in_a_json_line(digits, tmp_path):
    _, folder, _ = digits
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    ended = tenfold("predict", f"run={folder}", f"input={tmp_path}", "batch_size=2", "accelerator=cpu")
    assert ended.code == 0, ended.err
    answers = [json.loads(line) for line in ended.out.splitlines()]
    assert [Path(answer["input"]).name for answer in answers] == ["a.png", "b.png", "c.png"]
    for answer in answers:
        probabilities = answer["probabilities"]
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-4)
        assert answer["label"] == max(probabilities, key=probabilities.get)
    output = tmp_path / "answers.jsonl"
    assert tenfold("predict", f"run={folder}", f"input={tmp_path}", f"output={output}", "accelerator=cpu").code == 0
    assert [json.loads(line)["label"] for line in output.read_text().splitlines()] == [a["label"] for a in answers]


@pytest.mark.parametrize("form, name", [("onnx", "network.onnx"), ("torch", "network.pt2")])
def test_export_writes_into_the_run_folder(form, name, digits):
    if form == "onnx":
        pytest.importorskip("onnxscript")
    _, folder, _ = digits
    ended = tenfold("export", f"run={folder}", f"format={form}")
    assert ended.code == 0, ended.err
    assert str(folder / name) in ended.out
    assert (folder / name).stat().st_size > 0


def test_resume_goes_on_to_more_epochs(digits):
    outputs, folder, _ = digits
    before = load_checkpoint(folder / runs.CHECKPOINTS / "last.ckpt")
    ended = tenfold("train", "run=latest", f"outputs={outputs}", "trainer.max_epochs=3")
    assert ended.code == 0, ended.err
    after = load_checkpoint(folder / runs.CHECKPOINTS / "last.ckpt")
    assert before["global_step"] == 8
    assert after["global_step"] == 12
    assert runs.read_metrics(folder)["epochs"] == 3
    assert len(list((outputs / "classification" / "digits").iterdir())) == 1
    assert tenfold("train", f"run={folder}", "trainer.max_epochs=3").code == 0  # nothing is left to do


def test_the_same_seed_gives_the_same_run(tmp_path):
    first, second, other = (
        (tenfold("train", *IRIS, f"seed={seed}", f"folder={tmp_path / name}"), runs.read_metrics(tmp_path / name))[1]
        for name, seed in (("a", 5), ("b", 5), ("c", 6))
    )
    assert first["metrics"] == second["metrics"] != other["metrics"]


# Sweeps --------------------------------------------------------------------------------------------------------------


def sweep_folder() -> Path:
    (folder,) = (Path(os.environ["TENFOLD_OUTPUTS"]) / "sweeps").iterdir()
    return folder


def test_a_sweep_gives_each_job_its_folder_and_survives_one_that_fails():
    code, _, err = tenfold("train", "-m", *IRIS, "data.val_fraction=0.1,0.95", "seed=1,2")
    assert code == 2
    lines = err.splitlines()
    assert [line for line in lines if line.startswith("job ")] == [
        f"job {2 * i + j}: {' '.join(IRIS)} data.val_fraction={share} seed={seed}"
        for i, share in enumerate((0.1, 0.95))
        for j, seed in enumerate((1, 2))
    ]
    for number in (2, 3):
        (line,) = [line for line in lines if line.startswith(f"tenfold: job {number} failed: ")]
        assert "val_fraction" in line
    assert lines[-1] == "tenfold: sweep: 2 of 4 jobs failed (job 2, 3); see above"
    assert "Traceback" not in err
    folder = sweep_folder()
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"0", "1"}
    first, second = (runs.read_metrics(folder / name) for name in ("0", "1"))
    assert first["metrics"] != second["metrics"]
    assert runs.SWEEP_VARIABLE not in os.environ


def test_a_sweep_with_a_job_that_cannot_run_is_refused_before_the_first():
    line = refused("train", "-m", *IRIS, "optimizer.lr=0.1,fast")
    assert line.startswith("job 1 of the sweep: optimizer.lr: ")
    assert not list((Path(os.environ["TENFOLD_OUTPUTS"]) / "sweeps").glob("*"))


def test_other_verbs_sweep_too():
    """Over values of their own, which are no config of a run that is to be trained."""
    code, _, err = tenfold("evaluate", "-m", "run=/no/a,/no/b")
    assert code == 2
    told = [line for line in err.splitlines() if "failed: " in line]
    assert [line.partition("failed: ")[2][:12] for line in told] == ["run: /no/a i", "run: /no/b i"]


def test_a_refused_sweep_leaves_a_folder_of_the_persons_own_alone(tmp_path):
    kept = tmp_path / "mine" / "notes.txt"
    kept.parent.mkdir()
    kept.write_text("dear")
    refused("train", "-m", *IRIS, f"hydra.sweep.dir={kept.parent}", "optimizer.lr=0.1,fast")
    assert kept.read_text() == "dear"


# Several processes ---------------------------------------------------------------------------------------------------

TWO = ("trainer.devices=2", "trainer.strategy=ddp", "logger=none", "trainer.max_epochs=1")


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    for name, more in (("one", TWO[2:]), ("two", TWO)):
        assert tenfold("train", *IRIS, *more, f"folder={tmp_path / name}").code == 0
    one, two = (runs.read_metrics(tmp_path / name) for name in ("one", "two"))
    assert two["steps"] == one["steps"]
    for name, value in one["metrics"].items():
        assert two["metrics"][name] == pytest.approx(value, rel=1e-4), name
    weights = [load_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt")["state_dict"] for name in ("one", "two")]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_two_processes_train_in_a_sweep_and_fail_in_one_line(capfd, tmp_path):
    table = csv_table(tmp_path, np.random.default_rng(0))[:1]
    overrides = ["experiment=classification/csv", *SMALL, *TWO, *table, "data.batch_size=16"]
    code, _, err = tenfold("train", "-m", *overrides, "data.target=bought,bougt")
    assert code == 2
    assert err.splitlines()[-1] == "tenfold: sweep: 1 of 2 jobs failed (job 1); see above"
    folder = sweep_folder()
    assert runs.read_metrics(folder / "0")["steps"] > 0
    assert not (folder / "1").exists()
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "bougt" in line]  # of the children
    assert line.startswith("tenfold: ")
    assert "did you mean 'bought'?" in line


# Ctrl-C --------------------------------------------------------------------------------------------------------------


def wait_for(path: Path, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not path.is_file():
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.02)


def test_ctrl_c_saves_tells_how_to_resume_and_the_resumed_run_ends(tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "tenfold", "train", *IRIS, "trainer.max_epochs=1000000", f"folder={folder}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(folder / runs.CHECKPOINTS / "last.ckpt")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert f"resume: tenfold train run={folder}" in out
    assert "Traceback" not in err
    stopped = load_checkpoint(folder / runs.CHECKPOINTS / "last.ckpt")
    assert not (folder / runs.METRICS).exists()
    epochs = stopped["epoch"] + 2
    assert tenfold("train", f"run={folder}", f"trainer.max_epochs={epochs}").code == 0
    assert runs.read_metrics(folder)["steps"] == 4 * epochs > stopped["global_step"]


def test_ctrl_c_ends_a_sweep():
    sweeps = Path(os.environ["TENFOLD_OUTPUTS"]) / "sweeps"

    def press() -> None:
        deadline = time.monotonic() + 60
        while not list(sweeps.glob("*/0/checkpoints/last.ckpt")) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    code, out, _ = tenfold("train", "-m", *IRIS, "trainer.max_epochs=1000000", "seed=1,2")
    presser.join()
    assert code == 130
    assert f"resume: tenfold train run={sweep_folder() / '0'}" in out
    assert not (sweep_folder() / "1").exists()


# One override each ---------------------------------------------------------------------------------------------------

FEATURES = [
    ["trainer.precision=bf16-mixed"],
    ["trainer.precision=64-true"],
    ["trainer.compile=true"],
    ["trainer.gradient_clip_val=1"],
    ["trainer.devices=2", "trainer.strategy=ddp"],
    ["trainer.strategy=fsdp"],
    ["trainer.micro_batch_size=auto"],
    ["trainer.accumulate_grad_batches=4"],
    ["callbacks=[default,ema]"],
    ["callbacks=[default,early_stopping]"],
    ["callbacks.checkpoint.monitor=val/loss"],
    ["callbacks.pictures=null"],
    ["logger=csv"],
    ["logger=[tensorboard,csv]"],
    ["logger=none"],
    ["logger=null"],
    *([f"optimizer={name}"] for name in ("adamw", "sgd", "muon")),
    *([f"scheduler={name}"] for name in ("cosine", "one_cycle", "constant", "plateau", "null")),
    *([f"debug={name}"] for name in ("fast", "overfit", "profile")),
    ["experiment=null", "data=tabular/wine", "model=classification/mlp"],
]


@pytest.mark.parametrize("overrides", FEATURES, ids=" ".join)
def test_each_feature_is_one_override(overrides):
    check_config(compose("train", overrides))


@pytest.mark.parametrize("overrides", [
    ["optimizer=muon", "scheduler=plateau", "logger=csv", "trainer.gradient_clip_val=1"],
    ["optimizer=sgd", "scheduler=constant", "trainer.precision=bf16-mixed", "callbacks=[default,ema]"],
    ["scheduler=null", "logger=[tensorboard,csv]", "trainer.micro_batch_size=auto", "trainer.precision=64-true"],
    ["scheduler=cosine", "logger=none", "callbacks.checkpoint.monitor=val/loss", "callbacks.pictures=null"],
    ["debug=overfit", "trainer.max_epochs=2", "logger=null"],
    ["debug=profile"],
], ids=" ".join)  # fmt: skip
def test_features_train_together(overrides, tmp_path):
    folder = tmp_path / "run"
    ended = tenfold("train", *IRIS, *overrides, f"folder={folder}")
    assert ended.code == 0, ended.err
    chosen = " ".join(overrides)
    assert (folder / "metrics.csv").exists() == ("csv" in chosen)
    assert bool(list(folder.glob("events.*"))) == (not any(f"logger={name}" in chosen for name in ("csv", "no", "nu")))
    assert runs.read_metrics(folder)["steps"] > 0


def test_early_stopping_stops(tmp_path):
    least = ["callbacks.early_stopping.patience=2", "callbacks.early_stopping.min_delta=1"]  # of accuracy: never again
    more = ["callbacks=[default,early_stopping]", *least, "trainer.max_epochs=30", f"folder={tmp_path / 'run'}"]
    assert tenfold("train", *IRIS, *more).code == 0
    assert runs.read_metrics(tmp_path / "run")["epochs"] == 3


@pytest.mark.slow
def test_compiled_networks_are_saved_under_their_own_names(tmp_path):
    folder = tmp_path / "run"
    assert tenfold("train", *IRIS, "trainer.compile=true", "trainer.max_epochs=1", f"folder={folder}").code == 0
    assert not any("_orig_mod" in name for name in load_checkpoint(runs.checkpoint_of(folder))["state_dict"])
    assert tenfold("evaluate", f"run={folder}", "accelerator=cpu").code == 0


def test_parts_chosen_by_hand_make_a_recipe_of_their_own():
    chosen = ["experiment=null", "data=tabular/wine", "model=classification/mlp", "model.network.hidden=[4]"]
    ended = tenfold("train", *chosen, *SMALL, "trainer.max_epochs=1", "logger=none")
    assert ended.code == 0, ended.err
    (folder,) = (Path(os.environ["TENFOLD_OUTPUTS"]) / "classification" / "custom").iterdir()
    assert runs.read_metrics(folder)["recipe"] == "classification/custom"


@pytest.mark.parametrize("extra", ["wandb", "mlflow"])
def test_a_logger_whose_extra_is_missing(extra, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == extra else find(name, *more))
    line = refused("train", *IRIS, f"logger={extra}")
    assert f"'{extra}'" in line
    assert f"pip install 'tenfold[{extra}]'" in line


def test_check_reads_the_data_and_trains_nothing():
    code, out, _ = tenfold("check", *IRIS)
    assert code == 0
    assert out.startswith("classification/iris: fine; 15 parameters")
    assert not written()
