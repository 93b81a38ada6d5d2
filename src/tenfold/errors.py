"""What a person gets to read when the input is wrong."""

from collections.abc import Iterable
from difflib import get_close_matches

EXIT_CODE = 2
INTERRUPTED = 130  # by Ctrl-C


class UserError(Exception):
    """Bad input, told in one line: the key or the file, what was found, what was expected, the nearest valid name.

    The command line prints the message to stderr without a traceback and ends with `EXIT_CODE`.
    """


def nearest(name: str, choices: Iterable[str]) -> str:
    """The end of an error line, `"; did you mean 'adamw'?"`, or nothing where no choice resembles the name."""
    by_folded = {choice.casefold(): choice for choice in choices}
    matches = get_close_matches(name.casefold(), by_folded, n=1)
    return f"; did you mean '{by_folded[matches[0]]}'?" if matches else ""
