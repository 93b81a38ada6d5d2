"""tenfold list: the recipes, read from the configs' own comments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tenfold.config.compose import conf_folder, options
from tenfold.errors import UserError, nearest

HELP = (
    "tenfold list [TOPIC]: every recipe, by topic: its name, what it is, its data, download, rough time on two cores."
)


def main(arguments: Sequence[str]) -> int:
    """Print each recipe of the topics named (all, if none), a line each."""
    if any(argument in ("--help", "-h") for argument in arguments):
        print(HELP)
        return 0
    recipes = options("experiment")
    topics = list(dict.fromkeys(name.split("/")[0] for name in recipes))
    for wanted in arguments:
        if wanted not in topics:
            raise UserError(
                f"list: there is no topic {wanted!r}, expected {', '.join(topics)}{nearest(wanted, topics)}"
            )
    names = [name for name in recipes if not arguments or name.split("/")[0] in arguments]
    topic, width = "", max(map(len, names), default=0)
    for name in names:
        if name.split("/")[0] != topic:
            topic = name.split("/")[0]
            print(f"\n{topic}")
        print(f"  {name:<{width}}  {describe(conf_folder() / 'experiment' / f'{name}.yaml')}")
    return 0


def describe(path: Path) -> str:
    """The comment at the head of a recipe: what it is, then its data, whether it downloads, and its time."""
    comments = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            comments.append(line.removeprefix("#").strip())
    return " ".join(comments)
