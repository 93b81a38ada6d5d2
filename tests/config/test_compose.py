"""Configs compose, say what is wrong with them in one line, and explain every key that they have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tenfold.config.compose import compose, conf_folder, options, to_plain
from tenfold.config.instantiate import resolve, targets
from tenfold.errors import UserError

FILES = sorted(conf_folder().rglob("*.yaml"))


def name_of(path: Path) -> str:
    return str(path.relative_to(conf_folder()))


def group_of(path: Path) -> str:
    return path.relative_to(conf_folder()).parts[0]


#: Keys whose name says all, in whichever file; and the names of parts, whose own keys explain them.
SELF_EVIDENT = {
    "max_epochs",
    "seed",
    "num_nodes",
    "check_val_every_n_epoch",
    "enable_model_summary",
    "momentum",
    "nesterov",
    "dropout",
    "name",
    "save_dir",
    "version",
    "filename",
    "dirpath",
    "project",
    "experiment_name",
    "run_name",
    "val_fraction",
    "test_fraction",
    "val_path",
    "test_path",
    "embedding_dim",
    "embedding_dropout",
    "num_layers",
    "channels",
    "max_n",
}


@pytest.mark.parametrize("verb", ["train", "check", "evaluate", "predict", "export"])
def test_each_verb_has_a_config(verb):
    assert compose(verb).outputs


@pytest.mark.parametrize("recipe", options("experiment"))
def test_a_recipe_is_called_as_its_file(recipe):
    config = compose("train", [f"experiment={recipe}"])
    assert config.recipe == recipe
    assert "hydra" not in config


def test_without_an_experiment_the_recipe_is_the_models_topic():
    assert compose("train", ["experiment=null"]).recipe == "classification/custom"
    assert compose("train", ["~experiment", "model=classification/mlp"]).recipe == "classification/custom"


@pytest.mark.parametrize("group", ["scheduler", "logger", "debug", "callbacks"])
def test_a_group_can_be_left_out(group):
    assert not compose("train", [f"{group}=null"]).get(group)


def test_every_option_of_a_group_is_found():
    assert {"adamw", "muon", "sgd"} <= set(options("optimizer"))
    assert "images/digits" in options("data")
    assert not [name for name in options("data") if name.endswith("base")]


@pytest.mark.parametrize("overrides, parts", [
    (["optimizer=adam"], ["optimizer: ", "'adam'", "did you mean 'adamw'?"]),
    (["optimizer=x"], ["optimizer: ", "expected one of adamw, "]),
    (["trainer.max_epoch=1"], ["trainer.max_epoch: ", "did you mean 'trainer.max_epochs'?", "+trainer.max_epoch=..."]),
    (["seed=["], ["override 'seed=['", "expected key=value"]),
])  # fmt: skip
def test_an_override_that_does_not_compose_is_told_in_one_line(overrides, parts):
    with pytest.raises(UserError) as caught:
        compose("train", overrides)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_a_missing_value_is_named():
    with pytest.raises(UserError, match=r"^data\.path: missing, expected data\.path=\.\.\.$"):
        to_plain(compose("train", ["experiment=classification/folder"]))


def test_an_interpolation_that_leads_nowhere_is_named():
    with pytest.raises(UserError, match=r"seed: .*nothing"):
        to_plain(compose("train", ["seed=${nothing}"]))


# Every file of conf/ -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_begins_by_saying_what_it_is(path):
    comments = [line for line in path.read_text().splitlines()[:2] if not line.startswith("# @package")]
    assert re.match(r"# \S.{15,}", comments[0]), comments[0]


def settable(path: Path) -> Iterator[tuple[str, str, str]]:
    """Each key of a file that has a value, as (dotted name, its line, the comments just above it)."""
    names: list[tuple[int, str]] = []
    above = ""
    inside_defaults = False
    for line in path.read_text().splitlines():
        match = re.match(r"( *)([\w.]+):( |$)(.*)", line)
        if match is None:
            above = line if line.lstrip().startswith("#") else ""
            continue
        depth, key, value = len(match[1]), match[2], match[4].split(" #")[0].strip()
        names = [(d, name) for d, name in names if d < depth] + [(depth, key)]
        inside_defaults = names[0][1] == "defaults"
        if value and not inside_defaults and key != "_target_":
            yield ".".join(name for _, name in names), line, above
        above = ""


@pytest.mark.parametrize("path", [f for f in FILES if group_of(f) not in ("hydra", "debug", "experiment")], ids=name_of)
def test_every_key_is_explained_where_it_is_set(path):
    """On its line or the line above; in a file that takes it from another one of its group, there."""
    known = SELF_EVIDENT | {key.rpartition(".")[2] for base in bases(path) for key, *_ in settable(base)}
    silent = [
        key
        for key, line, above in settable(path)
        if key.rpartition(".")[2] not in known and " #" not in line and not above
    ]
    assert not silent, f"{path}: nothing explains {', '.join(silent)}"


def bases(path: Path) -> Iterator[Path]:
    """The files that a config takes in by `defaults`."""
    for entry in (yaml.safe_load(path.read_text()) or {}).get("defaults", []):
        if isinstance(entry, str) and "@_here_" in entry:
            base = conf_folder() / f"{entry.split('@')[0].lstrip('/')}.yaml"
            yield base
            yield from bases(base)


@pytest.mark.parametrize("path", [f for f in FILES if group_of(f) in ("debug", "experiment")], ids=name_of)
def test_recipes_set_keys_that_their_parts_have(path):
    """What a recipe sets is explained by the part that it changes, so it must be one of that part's keys."""
    group = path.relative_to(conf_folder()).parts[0]
    name = str(path.relative_to(conf_folder() / group).with_suffix(""))
    config = to_plain_with_gaps([f"{group}={name}"])
    below_targets = [name for name, _ in targets(config)]
    for key, line, above in settable(path):
        if " #" in line or above or key == "test":
            continue
        group, _, rest = key.partition(".")
        inherited = {name for part in part_files(path, config, group) for name, *_ in settable(part)}
        own_block = any(key.startswith(f"{target}.") and target.count(".") >= 1 for target in below_targets)
        whole_group = not rest and (conf_folder() / group).is_dir()
        assert rest in inherited or own_block or whole_group, (
            f"{path}: {key} is no key of its part, and nothing explains it"
        )


def to_plain_with_gaps(overrides: list[str]) -> dict:
    from omegaconf import OmegaConf

    return OmegaConf.to_container(compose("train", overrides))  # type: ignore[return-value]


def part_files(path: Path, config: dict, group: str) -> Iterator[Path]:
    from hydra.core.hydra_config import HydraConfig

    choice = HydraConfig.get().runtime.choices.get(group)
    for name in [choice] if isinstance(choice, str) else choice or []:
        part = conf_folder() / group / f"{name}.yaml"
        if part.is_file():
            yield part
            yield from bases(part)


@pytest.mark.parametrize("path", [f for f in FILES if "_target_" in f.read_text()], ids=name_of)
def test_every_target_exists(path):
    for name, node in targets(yaml.safe_load(path.read_text())):
        resolve(node["_target_"], f"{name}._target_")
