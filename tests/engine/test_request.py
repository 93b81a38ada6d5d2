"""What `tenfold predict` is asked, and whether the module takes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.toys import Regressor
from tenfold.engine.request import request_of
from tenfold.errors import UserError


@dataclass(frozen=True)
class Options:
    n: int = 64
    condition: str | int | None = None
    seed: int = 0


class Generator(Regressor):
    options_class = Options
    answer_file = "samples.png"
    takes_input = False


def asked(module, folder: Path, **values):
    common = {"run": "latest", "input": None, "output": None, "batch_size": 8}
    module.config["recipe"] = "toy/generator"
    return request_of(common | {"n": None, "condition": None, "guidance": None} | values, module, folder)


def test_options_have_the_module_s_defaults(tmp_path):
    request = asked(Generator(), tmp_path, condition=7)
    assert request.options == Options(64, 7)
    assert request.output == tmp_path / "samples.png"
    assert asked(Generator(), tmp_path, output=str(tmp_path / "grid.png")).output == tmp_path / "grid.png"


def test_sources_are_a_list_of_names(tmp_path):
    assert asked(Regressor(), tmp_path, input="a.txt").sources == ["a.txt"]
    assert asked(Regressor(), tmp_path, input=["a", 1]).sources == ["a", "1"]
    with pytest.raises(UserError, match="input: missing"):
        asked(Regressor(), tmp_path).needed_sources()


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Generator, {"guidance": 2.0}, "guidance: toy/generator has no such option; it takes n, condition, seed"),
        (Generator, {"n": "many"}, "n: found 'many', expected int"),
        (Generator, {"n": 0}, "n: found 0, expected at least 1"),
        (Generator, {"seed": -1}, "seed: found -1, expected 0 to 9.22337e\\+18"),
        (Generator, {"seed": 2**63}, "seed: found 9223372036854775808, expected 0 to 9.22337e\\+18"),
        (Generator, {"input": "a.png"}, "input: found 'a.png', but toy/generator makes its answers itself"),
        (Generator, {"output": "/no/such/folder/grid.png"}, "output: there is no folder /no/such/folder"),
        (Generator, {"batch_size": 0}, "batch_size: found 0, expected at least 1"),
        (Regressor, {"n": 3}, "n: toy/generator has no such option; it takes none"),
    ],
)
def test_what_cannot_be_asked_is_told_in_one_line(kind, values, message, tmp_path):
    with pytest.raises(UserError, match=message):
        asked(kind(), tmp_path, **values)
