"""Which recipes are of one kind: what depends on the model alone is tested on the first recipe that has it."""

from __future__ import annotations

import functools
import re

from tenfold.config.compose import conf_folder, options


def first_with_its_model(recipe: str) -> str:
    """The first recipe, by name, of the same model config."""
    return next(name for name in options("experiment") if model(name) == model(recipe))


def first_with_its_classes(recipe: str) -> str:
    """The first recipe, by name, whose module and networks are of the same classes."""
    return next(name for name in options("experiment") if classes(model(name)) == classes(model(recipe)))


@functools.cache
def model(recipe: str) -> str:
    text = (conf_folder() / "experiment" / f"{recipe}.yaml").read_text(encoding="utf-8")
    chosen = re.search(r"override /model: (\S+)", text)
    return chosen[1] if chosen else "classification/cnn"  # as conf/train.yaml has it


@functools.cache
def classes(model: str) -> frozenset[str]:
    """Every `_target_` of a model config and of the one that it builds on."""
    text = (conf_folder() / "model" / f"{model}.yaml").read_text(encoding="utf-8")
    base = re.search(r"/model/(\S+)@_here_", text)
    return (classes(base[1]) if base else frozenset()) | set(re.findall(r"_target_: (\S+)", text))
