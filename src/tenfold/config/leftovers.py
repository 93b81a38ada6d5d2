"""What a recipe goes on saying of a part that a person has exchanged for another: Hydra merges the two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from tenfold.config.compose import conf_folder


def leftovers() -> Iterator[str]:
    """A line for each of optimizer and scheduler that was chosen on the command line and takes values of the recipe's,
    which were found for another one."""
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    path = conf_folder() / "experiment" / f"{hydra.runtime.choices.get('experiment')}.yaml"
    if not path.is_file():
        return
    root, recipe = (_loaded(file) for file in (conf_folder() / "train.yaml", path))
    own = {group.removeprefix("override /"): name for group, name in _choices(root) + _choices(recipe)}
    typed = dict(override.lstrip("+~").partition("=")[::2] for override in hydra.overrides.task)
    for group in ("optimizer", "scheduler"):
        if typed.get(group, "") in ("", "null", own[group]):
            continue
        left = {f"{group}.{key}": value for key, value in recipe.get(group, {}).items()}
        if kept := [f"{key}={value}" for key, value in left.items() if key not in typed]:
            yield f"{group}={typed[group]} keeps the recipe's {', '.join(kept)}: override what does not suit it"


def _loaded(path: Path) -> dict[str, Any]:
    loaded: Any = OmegaConf.to_container(OmegaConf.load(path))
    return loaded


def _choices(config: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [pair for choice in config.get("defaults", []) if isinstance(choice, dict) for pair in choice.items()]
