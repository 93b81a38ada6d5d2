"""Dates as people write them in many languages, to be put into one form."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import torch

from tenfold.errors import UserError, nearest
from tenfold.topics.transformer.pairs import PairData, TextPairs

FORMS = ("medium", "long", "full")  # of CLDR; the short form is of numbers only
_CODES = "en en_GB de fr es it pt nl sv da fi pl cs hu ro tr id vi el ru uk ar he hi ja ko zh"
LANGUAGES = tuple(_CODES.split())


class Dates(PairData):
    """Days between two years, each written once, in a language and form drawn at random from the Unicode consortium's
    CLDR (by the package babel); the target is the day as 2024-03-12.

    The splits share no day. Forms that can be read in two ways are left out: those of two digits for the year, and
    those of numbers only that do not begin with the year. So every source has one right answer, and 100 % can be
    reached.

    languages: locales such as de or en_GB; all of `LANGUAGES` where None.
    target: iso, or a locale, into whose long form the day is put: `en` for March 12, 2024.
    first_year, last_year: of the days.
    train_size, val_size, test_size: days of each split.
    """

    def __init__(
        self,
        languages: Sequence[str] | None = None,
        target: str = "iso",
        first_year: int = 1900,
        last_year: int = 2099,
        train_size: int = 20_000,
        val_size: int = 1_000,
        test_size: int = 2_000,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        self.languages, self.target = list(languages or LANGUAGES), target
        if not 1000 <= first_year <= last_year <= 9999:
            raise UserError(
                f"data.first_year, data.last_year: found {first_year} to {last_year}, expected years of four digits"
            )
        self.first, self.sizes = date(first_year, 1, 1), {"train": train_size, "val": val_size, "test": test_size}
        self.days = (date(last_year, 12, 31) - self.first).days + 1
        if sum(self.sizes.values()) > self.days:
            raise UserError(
                f"data.train_size + data.val_size + data.test_size: found {sum(self.sizes.values())}, "
                f"expected at most the {self.days} days from {first_year} to {last_year}"
            )

    def read_pairs(self) -> Mapping[str, TextPairs]:
        babel = _babel()
        styles = [style for language in self.languages for style in unambiguous_styles(language)]
        _check_months(styles)
        if self.target != "iso":
            _locale(self.target, "data.target")
        generator = torch.Generator().manual_seed(self.split_seed)
        order = torch.randperm(self.days, generator=generator)[: sum(self.sizes.values())]
        drawn = torch.randint(len(styles), order.shape, generator=generator)
        pairs: TextPairs = []
        for day, choice in zip(order.tolist(), drawn.tolist(), strict=True):
            when, (language, form) = self.first + timedelta(days=day), styles[choice]
            written = babel.format_date(when, form, locale=language)
            answer = when.isoformat() if self.target == "iso" else babel.format_date(when, "long", locale=self.target)
            pairs.append((_plain(written), _plain(answer)))
        test, val = self.sizes["test"], self.sizes["val"]
        return {"test": pairs[:test], "val": pairs[test : test + val], "train": pairs[test + val :]}


def unambiguous_styles(language: str) -> list[tuple[str, str]]:
    """`(language, form)` of the forms that can be read in one way only."""
    babel = _babel()
    _locale(language, "data.languages")
    styles = []
    for form in FORMS:
        pattern = babel.get_date_format(form, locale=language).pattern
        named, begins_with_year = "MMM" in pattern, pattern.startswith("y")
        if (named or begins_with_year) and ("yy" not in pattern or "yyyy" in pattern):
            styles.append((language, form))
    return styles


def _check_months(styles: Sequence[tuple[str, str]]) -> None:
    """No two languages may write different months alike."""
    known: dict[str, date] = {}
    for language, form in styles:
        for month in range(1, 13):
            when = date(2024, month, 15)
            written = _plain(_babel().format_date(when, form, locale=language))
            if (other := known.setdefault(written, when)) != when:
                raise UserError(
                    f"data.languages: {written!r} is {other} in one of them and {when} in {language}; leave one out"
                )


def _plain(text: str) -> str:
    """Spaces of every kind as one, and no marks of direction, which a keyboard does not have."""
    return " ".join(text.replace("\u200f", "").replace("\u200e", "").split())


def _babel() -> Any:
    try:
        return importlib.import_module("babel.dates")
    except ImportError as error:
        raise UserError(
            "data: needs the package 'babel', which is not installed; pip install 'tenfold[transformer]'"
        ) from error


def _locale(name: str, key: str) -> None:
    core, known = importlib.import_module("babel.core"), importlib.import_module("babel.localedata")
    try:
        core.Locale.parse(name)
    except (core.UnknownLocaleError, ValueError, TypeError):
        names = known.locale_identifiers()
        raise UserError(f"{key}: found {name!r}, expected a locale of CLDR such as de{nearest(name, names)}") from None
