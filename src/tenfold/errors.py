"""What a person gets to read when the input is wrong."""

import math
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


def check_number(key: str, value: float, low: float, high: float = math.inf) -> float:
    """A number within bounds. Raises `UserError` naming the key."""
    if not low <= value <= high or math.isinf(value):
        bounds = f"at least {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"
        raise UserError(f"{key}: found {value}, expected {bounds}")
    return float(value)
