"""Dates: one right answer for every source, and no day in two splits."""

from __future__ import annotations

import sys
from collections import Counter
from datetime import date, timedelta

import pytest

from tenfold.errors import UserError
from tenfold.topics.transformer import dates
from tenfold.topics.transformer.dates import LANGUAGES, Dates, unambiguous_styles

pytest.importorskip("babel")

SMALL = {"batch_size": 8, "train_size": 400, "val_size": 30, "test_size": 40}


def test_each_way_to_write_a_day_of_a_year_means_that_day_only():
    """Of all languages and forms, over a leap year."""
    babel = dates._babel()
    styles = [style for language in LANGUAGES for style in unambiguous_styles(language)]
    known: dict[str, date] = {}
    for day in range(0, 366, 5):
        when = date(2024, 1, 1) + timedelta(days=day)
        for language, form in styles:
            written = dates._plain(babel.format_date(when, form, locale=language))
            assert known.setdefault(written, when) == when, written
    assert {language for language, _ in styles} == set(LANGUAGES)


def test_ambiguous_forms_are_left_out():
    assert unambiguous_styles("de") == [("de", "long"), ("de", "full")]  # 05.03.2024 may be of May
    assert unambiguous_styles("zh") == [("zh", "medium"), ("zh", "long"), ("zh", "full")]  # 2024年3月5日 may not


def test_splits_share_no_day_and_do_not_depend_on_the_seed():
    first, second = Dates(**SMALL, seed=1), Dates(**SMALL, seed=2)
    first.setup()
    second.setup()
    assert first.pairs == second.pairs
    days = Counter(target for pairs in first.pairs.values() for _, target in pairs)
    assert set(days.values()) == {1} and len(days) == 470
    assert {split: len(pairs) for split, pairs in first.pairs.items()} == {"train": 400, "val": 30, "test": 40}
    other = Dates(**SMALL, split_seed=1)
    other.setup()
    assert other.pairs["test"] != first.pairs["test"]


def test_a_source_is_written_as_a_person_would_type_it_and_its_target_is_that_day():
    data = Dates(languages=["de"], **SMALL)
    data.setup()
    months = ["Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober"]
    months += ["November", "Dezember"]
    for source, target in data.pairs["train"]:
        day, month, year = source.rpartition(", ")[2].split()
        assert f"{year}-{months.index(month) + 1:02}-{int(day.rstrip('.')):02}" == target
        assert "\u202f" not in source and "\u200f" not in source


def test_another_target_is_a_language():
    data = Dates(languages=["de"], target="en", **SMALL)
    data.setup()
    assert all(target.split()[1].endswith(",") for _, target in data.pairs["train"])


def test_languages_that_call_two_months_the_same_are_refused():
    data = Dates(languages=["tr", "dav"], **SMALL)
    with pytest.raises(
        UserError, match=r"data.languages: '15 Kas 2024' is 2024-11-15 in one of them and 2024-05-15 in dav"
    ):
        data.setup()


@pytest.mark.parametrize(
    "options, line",
    [
        ({"languages": ["xx"]}, "data.languages: found 'xx', expected a locale of CLDR such as de"),
        ({"target": "isoo"}, "data.target: found 'isoo', expected a locale"),
        ({"first_year": 2020, "last_year": 2019}, "data.first_year, data.last_year: found 2020 to 2019"),
        ({"first_year": 2020, "last_year": 2020}, "expected at most the 366 days from 2020 to 2020"),
    ],
)
def test_bad_options_are_told_in_one_line(options, line):
    with pytest.raises(UserError) as error:
        Dates(**{**SMALL, **options}).setup()
    assert line in str(error.value)


def test_a_missing_package_is_told_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "babel.dates", None)
    with pytest.raises(UserError, match=r"needs the package 'babel'.*pip install 'tenfold\[transformer\]'"):
        Dates(**SMALL).setup()
