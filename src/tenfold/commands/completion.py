"""Shell completion: verbs, recipes, groups, keys and values, asked of Hydra for each TAB."""

from __future__ import annotations

from collections.abc import Sequence

from tenfold.config.compose import options
from tenfold.errors import UserError, nearest

HELP = 'tenfold completion SHELL: print the completion script; in bash: eval "$(tenfold completion bash)"; also zsh.'

_BASH = """_tenfold() {
    local IFS=$'\\n' current="${COMP_LINE:0:COMP_POINT}"
    COMPREPLY=($(tenfold completion --query "$current" 2>/dev/null))
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} != *[=./] ]] && COMPREPLY[0]+=" "
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
COMP_WORDBREAKS=${COMP_WORDBREAKS//:}
complete -o nospace -o default -F _tenfold tenfold"""

_SCRIPTS = {"bash": _BASH, "zsh": f"autoload -U +X bashcompinit && bashcompinit\n{_BASH}"}


def main(arguments: Sequence[str]) -> int:
    """Print a shell's script, or the words that may follow a line typed so far."""
    if len(arguments) == 2 and arguments[0] == "--query":
        print("\n".join(candidates(arguments[1])))
        return 0
    shell = arguments[0] if arguments else "--help"
    if shell in ("--help", "-h"):
        print(HELP)
        return 0
    if shell not in _SCRIPTS:
        raise UserError(f"completion: found {shell!r}, expected {' or '.join(_SCRIPTS)}{nearest(shell, _SCRIPTS)}")
    print(_SCRIPTS[shell])
    return 0


def candidates(line: str) -> list[str]:
    """The words that the last one of `line` may become."""
    from tenfold.cli import VERBS

    words = line.split(" ")[1:]
    if len(words) <= 1:
        return [verb for verb in VERBS if verb.startswith(words[0] if words else "")]
    group, equals, start = words[-1].rpartition("=")
    if equals and (offered := options(group)):  # Hydra offers a group's own files only, not those in its folders
        return [f"{group}={option}" for option in offered if option.startswith(start)]
    return [] if words[0] not in _CONFIGURED else _from_hydra(words[0], " ".join(words[1:]))


_CONFIGURED = ("train", "check", "evaluate", "predict", "export")


def _from_hydra(verb: str, overrides: str) -> list[str]:
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.core_plugins.bash_completion import BashCompletion
    from hydra._internal.utils import create_automatic_config_search_path

    from tenfold.config.compose import conf_folder

    path = create_automatic_config_search_path(None, None, str(conf_folder()))
    found: list[str] = BashCompletion(ConfigLoaderImpl(path))._query(config_name=verb, line=overrides)
    return found
