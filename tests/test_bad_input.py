"""Bad input: one line that names the key or file, what was found and expected; exit code 2; nothing left behind."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from command_line import SMALL, refused, tenfold
from contract import stand_ins
from tenfold.cli import main
from tenfold.engine import runs

IRIS = ("experiment=classification/iris", *SMALL)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run, not to be changed."""
    folder = tmp_path_factory.mktemp("trained") / "iris"
    assert tenfold("train", *IRIS, f"folder={folder}").code == 0
    return folder


@pytest.fixture
def run(trained, tmp_path):
    """A finished run of the test's own."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


# The command and its config ------------------------------------------------------------------------------------------

MISTAKES = {
    "verb": (["trian"], ["verb", "'trian'", "expected one of train, ", "did you mean 'train'?"]),
    "flag": (["train", "--hlep"], ["--hlep", "--help"]),
    "cfg": (["train", "--cfg", "nope"], ["--cfg", "'nope'", "'job'"]),
    "grammar": (["train", "optimizer.lr=["], ["override 'optimizer.lr=['", "expected key=value"]),
    "signs": (["train", "input=my photo (1).png"], ["override ", "expected key=value", "in quotes", "'key=\"a;b\"'"]),
    "no value": (["train", "optimizer"], ["override 'optimizer'", "expected key=value"]),
    "topic": (["list", "clasification"], ["'clasification'", "did you mean 'classification'?"]),
    "shell": (["completion", "bsh"], ["'bsh'", "expected bash or zsh", "did you mean 'bash'?"]),
    "recipe": (
        ["train", "experiment=classification/digitz"],
        ["experiment: ", "'classification/digitz'", "did you mean 'classification/digits'?"],
    ),
    "no recipe like it": (["train", "experiment=x"], ["experiment: ", "'x'", "expected one of classification/"]),
    "no recipe": (["train", "experiment="], ["experiment: ", "expected one of classification/"]),
    "option": (["train", "optimizer=adam"], ["optimizer: ", "'adam'", "did you mean 'adamw'?"]),
    "option of several": (["train", "callbacks=[default,emma]"], ["callbacks: ", "'emma'", "did you mean 'ema'?"]),
    "data set": (["train", "data=images/digit"], ["data: ", "'images/digit'", "did you mean 'images/digits'?"]),
    "group": (["train", "modle=classification/cnn"], ["modle: ", "did you mean 'model'?"]),
    "key": (["train", "optimizer.lrr=0.1"], ["optimizer.lrr: ", "did you mean 'optimizer.lr'?"]),
    "key of a recipe": (["train", "experiment=gan/gaussians25", "model.r3=1"], ["did you mean 'model.r2'?"]),
    "key of another recipe": (["train", "experiment=classification/iris", "model.r1=1"], ["(+model.r1=... adds one)"]),
    "added key": (["train", "+trainer.max_epoch=3"], ["trainer.max_epoch: ", "did you mean 'max_epochs'?"]),
    "argument": (
        ["train", "+model.network.chanels=[8]"],
        ["model.network.chanels: ", "networks.CNN has no such argument", "did you mean 'channels'?"],
    ),
    "arguments of another choice": (
        ["train", "experiment=word_embeddings/python_reference", "scheduler=plateau"],
        ["scheduler.warmup: ", "has no such argument", "left out by ~scheduler.warmup ~scheduler.final"],
    ),
    "class": (
        ["train", "model.network._target_=tenfold.topics.classification.networks.CNNN"],
        ["model.network._target_: ", "'CNNN'", "did you mean 'CNN'?"],
    ),
    "module": (
        ["train", "model.network._target_=tenfold.topics.classification.network.CNN"],
        ["model.network._target_: ", "'network'", "did you mean 'networks'?"],
    ),
    "package": (
        ["train", "optimizer._target_=troch.optim.SGD"],
        ["optimizer._target_: ", "'troch'", "did you mean 'torch'?"],
    ),
    "kind of class": (["train", "model._target_=torch.nn.Linear"], ["model._target_: ", "a TenfoldModule"]),
    "number": (["train", "optimizer.lr=fast"], ["optimizer.lr: ", "'fast'", "expected float"]),
    "integer": (["train", "trainer.max_epochs=1.5"], ["trainer.max_epochs: ", "1.5", "expected int or null"]),
    "list": (["train", "model.network.channels=32"], ["model.network.channels: ", "32", "a list of int"]),
    "items": (["train", "model.network.channels=[a]"], ["model.network.channels: ", "['a']", "a list of int"]),
    "seed": (["train", "seed=-1"], ["seed: ", "-1", "at least 0"]),
    "threads": (["train", "threads=0"], ["threads: ", "0", "at least 1"]),
    "choice": (["train", "data.last_batch=shrot"], ["data.last_batch: ", "'shrot'", "did you mean 'short'?"]),
    "precision": (["train", "trainer.precision=bf16-mix"], ["trainer.precision: ", "did you mean 'bf16-mixed'?"]),
    "strategy": (["train", "trainer.strategy=dpp"], ["trainer.strategy: ", "'dpp'", "did you mean 'ddp'?"]),
    "accelerator": (["train", "trainer.accelerator=gpuu"], ["trainer.accelerator: ", "'gpuu'", "did you mean 'gpu'?"]),
    "devices": (["train", "trainer.devices=two"], ["trainer.devices: ", "'two'", "a number"]),
    "no teacher": (
        ["train", "experiment=distillation/mnist5k_soft", "model.teacher=null"],
        ["model.teacher: found null", "recipe:<topic>/<recipe>"],
    ),
    "no judge": (
        ["train", "experiment=gan/mnist5k_dcgan", "model.judge=null"],
        ["model.judge: found null", "recipe:<topic>/<recipe>"],
    ),
    "no devices": (["train", "trainer.devices=0"], ["trainer.devices: ", "0", "a number"]),
    "limit as text": (["train", "trainer.limit_train_batches=all"], ["trainer.limit_train_batches: ", "'all'"]),
    "limit below zero": (
        ["train", "trainer.limit_val_batches=-1"],
        ["trainer.limit_val_batches: ", "-1", "0.0 to 1.0"],
    ),
    "limit above one": (["train", "trainer.limit_test_batches=2.5"], ["trainer.limit_test_batches: ", "2.5"]),
    "interval": (["train", "trainer.log_every_n_steps=0"], ["trainer.log_every_n_steps: ", "0", "at least 1"]),
    "metric": (
        ["train", "callbacks.checkpoint.monitor=val/acuracy"],
        ["callbacks.checkpoint.monitor: ", "'val/acuracy'", "expected one of val/", "did you mean 'val/accuracy'?"],
    ),
    "class weights": (["train", "model.class_weights=balancd"], ["model.class_weights: ", "did you mean 'balanced'?"]),
    "missing value": (["train", "experiment=classification/folder"], ["data.path: missing", "data.path=..."]),
    "fraction": (["train", *IRIS, "data.val_fraction=2"], ["data.val_fraction", "2", "less than 1"]),
    "output below a file": (["train", *IRIS, "outputs=/dev/null/x"], ["folder: ", "/dev/null/x", "writable folder"]),
    "folder below a file": (["train", *IRIS, "folder=/dev/null/x"], ["folder: ", "/dev/null", "writable folder"]),
    "output in /proc": (["train", *IRIS, "outputs=/proc/x"], ["folder: ", "/proc/x", "writable folder"]),
    "fsdp of matrices": (["train", "trainer.strategy=fsdp", "optimizer=muon"], ["optimizer: ", "Muon", "AdamW", "ddp"]),
    # Batches
    "batch zero": (["train", "data.batch_size=0"], ["data.batch_size: ", "0", "at least 1"]),
    "batch negative": (["train", "data.batch_size=-8"], ["data.batch_size: ", "-8", "at least 1"]),
    "batch by devices": (
        ["train", "data.batch_size=128", "trainer.devices=3"],
        ["data.batch_size: ", "128", "3 devices", "a multiple of 3"],
    ),
    "micro-batch zero": (["train", "trainer.micro_batch_size=0"], ["trainer.micro_batch_size: ", "0", "at least 1"]),
    "micro-batch negative": (
        ["train", "trainer.micro_batch_size=-3"],
        ["trainer.micro_batch_size: ", "-3", "at least 1"],
    ),
    "micro-batch larger": (
        ["train", "data.batch_size=64", "trainer.micro_batch_size=65"],
        ["trainer.micro_batch_size: ", "65", "64 samples"],
    ),
    "micro-batch larger than a share": (
        ["train", "data.batch_size=64", "trainer.devices=2", "trainer.micro_batch_size=33"],
        ["trainer.micro_batch_size: ", "33", "32 samples"],
    ),
    "micro-batch word": (
        ["train", "trainer.micro_batch_size=atuo"],
        ["trainer.micro_batch_size: ", "did you mean 'auto'?"],
    ),
    "cuts zero": (["train", "trainer.accumulate_grad_batches=0"], ["trainer.accumulate_grad_batches: ", "at least 1"]),
    "cuts too many": (
        ["train", "data.batch_size=4", "trainer.accumulate_grad_batches=5"],
        ["trainer.accumulate_grad_batches: ", "5 micro-batches", "4 samples"],
    ),
    "cuts disagree": (
        ["train", "data.batch_size=128", "trainer.micro_batch_size=32", "trainer.accumulate_grad_batches=3"],
        ["trainer.accumulate_grad_batches: 3", "trainer.micro_batch_size: 32", "into 4", "give one of the two"],
    ),
    "cuts beside auto": (
        ["train", "trainer.micro_batch_size=auto", "trainer.accumulate_grad_batches=2"],
        ["trainer.accumulate_grad_batches: 2", "auto", "give one of the two"],
    ),
    # Runs
    "no run": (["train", "run=/nowhere"], ["run: /nowhere", "latest, best:<metric> or a path"]),
    "no latest run": (["evaluate", "run=latest"], ["run: latest", "no run under"]),
    "no best run": (["evaluate", "run=best:val/accuracy"], ["run: ", "'val/accuracy'"]),
    "no run to export": (["export", "run=/nowhere"], ["run: /nowhere", "latest, best:<metric> or a path"]),
    "no run named": (["evaluate"], ["run: missing", "run=..."]),
    "format": (["export", "run=latest", "format=onxx"], ["format: ", "'onxx'", "onnx or torch"]),
    "split": (["evaluate", "run=latest", "split=tset"], ["split: ", "'tset'", "val or test"]),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_in_one_line(name):
    arguments, parts = MISTAKES[name]
    line = refused(*arguments)
    for part in parts:
        assert part in line


def test_a_batch_of_one_for_batch_norm():
    code, _, err = tenfold("train", *IRIS, "model=classification/mlp", "data.batch_size=52")  # of 105 samples
    assert code == 2 and len(err.splitlines()) == 1, err
    for part in ("data.batch_size: ", "one sample", "BatchNorm", "data.last_batch=drop"):
        assert part in err


@pytest.mark.parametrize(
    "mistake", ["trainer.accelerator=gpu", "trainer.accelerator=cuda", "trainer.accelerator=mps", "accelerator=gpu"]
)
def test_a_device_that_is_not_there(mistake, run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    verb = ["train", *IRIS] if mistake.startswith("trainer") else ["predict", f"run={run}", "input=-"]
    line = refused(*verb, mistake)
    assert "accelerator" in line
    assert mistake.partition("=")[2] in line.lower()


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    code, _, err = tenfold("train", "--debug", "optimizer.lr=fast")
    assert code == 2
    assert err.startswith("Traceback")
    assert err.splitlines()[-1].startswith("tenfold: optimizer.lr: ")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    assert len(tenfold("train", "optimizer.lr=fast").err.splitlines()) == 1


# Data ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def data(tmp_path, recipe, stand_in, rng):
    """Overrides of a recipe on small files in a folder of their own."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder, [f"experiment=classification/{recipe}", *SMALL, *stand_in(folder, rng)]


def test_a_data_file_that_is_missing(tmp_path, rng):
    folder, overrides = data(tmp_path, "mnist", stand_ins.idx, rng)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    line = refused("train", *overrides)
    assert "t10k-labels-idx1-ubyte" in line
    assert str(folder) in line


@pytest.mark.parametrize("recipe, stand_in, name", [
    ("mnist", stand_ins.idx, "train-images-idx3-ubyte"),
    ("cifar10", stand_ins.cifar10, "cifar-10-batches-bin/data_batch_3.bin"),
])  # fmt: skip
def test_a_data_file_that_is_truncated(recipe, stand_in, name, tmp_path, rng):
    folder, overrides = data(tmp_path, recipe, stand_in, rng)
    path = folder / name
    path.write_bytes(path.read_bytes()[:-100])
    assert name in refused("train", *overrides)


def test_a_gzipped_data_file_that_is_truncated(tmp_path, rng):
    folder, overrides = data(tmp_path, "mnist", stand_ins.idx, rng)
    path = folder / "train-images-idx3-ubyte"
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes())[:-100])
    path.unlink()
    assert "train-images-idx3-ubyte.gz" in refused("train", *overrides)


def test_an_image_that_is_no_image(tmp_path, rng):
    folder, overrides = data(tmp_path, "folder", stand_ins.pictures, rng)
    (folder / "cat" / "3.png").write_text("no picture")
    assert str(folder / "cat" / "3.png") in refused("train", *overrides)


def test_an_image_to_predict_that_is_no_image(tmp_path, rng):
    _, overrides = data(tmp_path, "folder", stand_ins.pictures, rng)
    run, source, answers = tmp_path / "run", tmp_path / "text.png", tmp_path / "answers.jsonl"
    assert tenfold("train", *overrides, "trainer.max_epochs=1", f"folder={run}").code == 0
    source.write_text("no picture")
    assert str(source) in refused("predict", f"run={run}", f"input={source}", f"output={answers}")
    assert not list(tmp_path.glob("answers*"))


def test_a_table_without_the_target_column(tmp_path, rng):
    _, overrides = data(tmp_path, "csv", stand_ins.csv_table, rng)
    line = refused("train", *overrides, "data.target=bougt")
    assert "'bougt'" in line
    assert "did you mean 'bought'?" in line


def test_one_class_only(tmp_path, rng):
    _, overrides = data(tmp_path, "csv", stand_ins.csv_table, rng)
    table = tmp_path / "data" / "table.csv"
    table.write_text(table.read_text().replace("yes", "no"))
    line = refused("train", *overrides)
    assert "class" in line
    assert "'no'" in line or " no" in line


def test_one_folder_only(tmp_path, rng):
    folder, overrides = data(tmp_path, "folder", stand_ins.pictures, rng)
    shutil.rmtree(folder / "dog")
    shutil.rmtree(folder / "hen")
    assert "class" in refused("train", *overrides)


@pytest.mark.parametrize("part", ["train", "t10k"])
def test_an_empty_split(part, tmp_path, rng):
    folder, overrides = data(tmp_path, "mnist", stand_ins.idx, rng)
    for name, dimensions in ((f"{part}-images-idx3-ubyte", (0, 28, 28)), (f"{part}-labels-idx1-ubyte", (0,))):
        head = bytes([0, 0, 8, len(dimensions)]) + b"".join(size.to_bytes(4, "big") for size in dimensions)
        (folder / name).write_bytes(head)
    line = refused("train", *overrides)
    assert ("test" if part == "t10k" else "train") in line


def test_model_and_data_that_do_not_meet():
    line = refused("train", *IRIS, "model=classification/cnn")
    assert "model" in line


# Training ------------------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_and_says_where(tmp_path):
    folder = tmp_path / "run"
    code, _, err = tenfold("train", *IRIS, "optimizer=sgd", "optimizer.lr=1e30", f"folder={folder}")
    assert code == 2
    assert len(err.splitlines()) == 1
    assert re.search(r"loss: not finite at step \d+ \(epoch 0, batch \d+\)", err)
    assert "optimizer.lr" in err
    assert not (folder / runs.METRICS).exists()


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(tmp_path):
    """Weight decay multiplies the weights by thousands each step: they overflow in a later epoch than the first."""
    folder = tmp_path / "run"
    growing = ["optimizer=sgd", "optimizer.lr=1e7", "scheduler=constant", "trainer.max_epochs=40"]
    code, _, err = tenfold("train", *IRIS, *growing, f"folder={folder}")
    assert code == 2
    path = folder / runs.CHECKPOINTS / "last.ckpt"
    step, epoch = map(int, re.search(r"not finite at step (\d+) \(epoch (\d+), batch", err).groups())
    assert epoch > 0
    assert f"the last good checkpoint is {path}" in err
    kept = torch.load(path, weights_only=True)
    assert 0 < kept["global_step"] < step
    assert all(value.isfinite().all() for value in kept["state_dict"].values())
    assert tenfold("evaluate", f"run={folder}", "checkpoint=last", "accelerator=cpu").code == 0


# Runs and checkpoints ------------------------------------------------------------------------------------------------


def test_a_run_is_resumed_as_what_it_is(run):
    before = (run / runs.CONFIG).read_bytes()
    line = refused("train", f"run={run}", "experiment=classification/wine")
    assert line.startswith("experiment: ")
    assert "'classification/iris'" in line
    assert "'classification/wine'" in line
    assert refused("train", f"run={run}", "model=classification/mlp").startswith("model: ")
    assert refused("train", f"run={run}", "+trainer.max_epoch=9").startswith("trainer.max_epoch: ")
    network = "model.network._target_=tenfold.topics.classification.networks.MLP"  # found out when the weights are read
    assert "weights are of another network" in refused("train", f"run={run}", network, "trainer.max_epochs=3")
    assert (run / runs.CONFIG).read_bytes() == before


def test_a_run_without_a_checkpoint(run):
    shutil.rmtree(run / runs.CHECKPOINTS)
    for verb in ("train", "evaluate", "export"):
        assert "holds no checkpoint" in refused(verb, f"run={run}")
    assert (run / runs.CONFIG).is_file()


def damage(run: Path, contents: bytes) -> None:
    for name in ("best", "last"):
        (run / runs.CHECKPOINTS / f"{name}.ckpt").write_bytes(contents)


def everywhere(run: Path) -> dict[str, list[str]]:
    """The verbs that read a run's checkpoint."""
    return {
        "train": ["train", f"run={run}", "trainer.max_epochs=3"],
        "evaluate": ["evaluate", f"run={run}", "accelerator=cpu"],
        "predict": ["predict", f"run={run}", "input=-", "accelerator=cpu"],
        "export": ["export", f"run={run}"],
    }


VERBS = ("train", "evaluate", "predict", "export")


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("share", [0.0, 0.6])
def test_a_truncated_checkpoint(verb, share, run):
    config = (run / runs.CONFIG).read_bytes()
    whole = (run / runs.CHECKPOINTS / "last.ckpt").read_bytes()
    damage(run, whole[: int(share * len(whole))])
    line = refused(*everywhere(run)[verb])
    assert ".ckpt" in line
    assert (run / runs.CONFIG).read_bytes() == config


class Malicious:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("verb", VERBS)
def test_a_checkpoint_that_holds_code_is_not_run(verb, run, tmp_path):
    proof = tmp_path / "proof"
    for name in ("best", "last"):
        path = run / runs.CHECKPOINTS / f"{name}.ckpt"
        contents = torch.load(path, weights_only=True)
        torch.save(contents | {"callbacks": Malicious(proof)}, path)
    line = refused(*everywhere(run)[verb])
    assert "pickled code" in line
    assert not proof.exists()
    torch.load(path, weights_only=False)
    assert proof.exists()  # so the file would have run code


@pytest.mark.parametrize("verb", VERBS)
def test_a_checkpoint_of_something_else(verb, run):
    for name in ("best", "last"):
        torch.save({"state_dict": {}}, run / runs.CHECKPOINTS / f"{name}.ckpt")
    assert "not a Tenfold checkpoint" in refused(*everywhere(run)[verb])


def test_a_checkpoint_of_another_network(run, tmp_path):
    other = tmp_path / "other"
    assert tenfold("train", *IRIS, "model=classification/mlp", "model.network.hidden=[4]", f"folder={other}").code == 0
    shutil.copy(other / runs.CHECKPOINTS / "last.ckpt", run / runs.CHECKPOINTS / "last.ckpt")
    assert "another network" in refused("train", f"run={run}", "trainer.max_epochs=3")


#: Each would make the folder `{proof}` if it were instantiated.
CALLS = (
    {"_target_": "os.mkdir", "_args_": ["{proof}"]},
    {"_target_": "torch.os.mkdir", "_args_": ["{proof}"]},
    {"_target_": "tenfold.cli.os.mkdir", "_args_": ["{proof}"]},
    {"_target_": "builtins.eval", "_args_": ["__import__('os').mkdir('{proof}')"]},
    {"_target_": "subprocess.run", "args": ["mkdir", "{proof}"]},
    "${{oc.decode:\"{{_target_: os.mkdir, path: '{proof}'}}\"}}",
)


def written_into(call, proof: Path):
    if isinstance(call, dict):
        return {key: written_into(value, proof) for key, value in call.items()}
    if isinstance(call, list):
        return [written_into(value, proof) for value in call]
    return call.replace("{proof}", str(proof)).replace("{{", "{").replace("}}", "}")


@pytest.mark.parametrize("call", CALLS, ids=["package", "imported", "inner", "builtin", "process", "interpolation"])
@pytest.mark.parametrize("verb, place", [
    ("train", "optimizer"), ("evaluate", "model.network"), ("evaluate", "data.augment"), ("predict", "model.network")
])  # fmt: skip
def test_a_run_that_names_something_to_call_is_refused(verb, place, call, run, tmp_path):
    proof = tmp_path / "proof"
    call = written_into(call, proof)
    config = OmegaConf.load(run / runs.CONFIG)
    OmegaConf.update(config, place, call, merge=False, force_add=True)
    OmegaConf.save(config, run / runs.CONFIG)
    for name in ("best", "last"):
        path = run / runs.CHECKPOINTS / f"{name}.ckpt"
        contents = torch.load(path, weights_only=True)
        contents["tenfold"]["config"] = OmegaConf.to_container(config)
        torch.save(contents, path)
    assert "is refused" in refused(*everywhere(run)[verb])
    assert not proof.exists()


@pytest.mark.parametrize("text", ["", "data: [", "- a\n- b\n", "seed: 1\n"])
def test_a_damaged_config(text, run):
    (run / runs.CONFIG).write_text(text)
    line = refused("train", f"run={run}")
    assert str(run / runs.CONFIG) in line


def test_predict_without_input(run):
    line = refused("predict", f"run={run}")
    assert line.startswith("input: missing")


def test_predict_into_a_folder_that_is_not_there(run, tmp_path):
    table = tmp_path / "rows.csv"
    table.write_text("sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n5,3,1.4,0.2\n")
    line = refused("predict", f"run={run}", f"input={table}", f"output={tmp_path}/no/where.jsonl")
    assert line.startswith("output: ")


def test_a_reader_who_has_seen_enough_is_no_error(run, tmp_path):
    """As in `tenfold predict ... | head`."""

    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

        def fileno(self):
            return pipe.fileno()

    table = tmp_path / "rows.csv"
    table.write_text("sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)\n5,3,1.4,0.2\n")
    with (tmp_path / "pipe").open("w") as pipe, contextlib.redirect_stdout(Closed()), pytest.raises(SystemExit) as end:
        main(["predict", f"run={run}", f"input={table}"])
    assert end.value.code == 0


@pytest.mark.parametrize("verb, mistake, parts", [
    ("evaluate", "split=tset", ["split: ", "'tset'", "val or test"]),
    ("evaluate", "checkpoint=bst", ["checkpoint: ", "'bst'", "best or last"]),
    ("evaluate", "accelerator=gpuu", ["accelerator: ", "'gpuu'", "did you mean 'gpu'?"]),
    ("evaluate", "splt=test", ["splt: ", "did you mean 'split'?"]),
    ("predict", "batch_size=0", ["batch_size: ", "0", "at least 1"]),
    ("predict", "input=/nowhere.csv", ["/nowhere.csv"]),
    ("export", "format=onxx", ["format: ", "'onxx'", "onnx or torch", "did you mean 'onnx'?"]),
    ("export", "output=/nowhere/net.onnx", ["output: ", "/nowhere"]),
    ("export", "output=/proc/net.onnx", ["output: ", "/proc/net.onnx cannot be written"]),
])  # fmt: skip
def test_a_mistake_about_a_run(verb, mistake, parts, run):
    needed = ["input=-"] if verb == "predict" and not mistake.startswith("input") else []
    line = refused(verb, f"run={run}", *needed, mistake)
    for part in parts:
        assert part in line
