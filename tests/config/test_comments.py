"""Whatever a person can set is explained where it stands."""

from __future__ import annotations

import re

import pytest

from tenfold.config.compose import conf_folder

#: Experiments and debug runs repeat keys that a group explains; Hydra's own keys have its documentation.
GROUPS = sorted(
    str(path.relative_to(conf_folder()))
    for path in conf_folder().rglob("*.yaml")
    if path.relative_to(conf_folder()).parts[0] not in ("experiment", "debug", "hydra")
)


@pytest.mark.parametrize("config", GROUPS)
def test_a_config_says_what_it_is_and_what_each_of_its_values_means(config):
    first, *lines = (conf_folder() / config).read_text(encoding="utf-8").splitlines()
    assert first.startswith("# "), first
    values = [line for line in lines if re.match(r" *(?!_target_|defaults)\w+: [^#&]", line)]
    assert [line for line in values if "#" not in line] == []
