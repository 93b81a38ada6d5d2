"""The front pages: both languages show the same commands and topics, and every link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "README.zh-CN.md"]
TOPICS = sorted(path.parent.name for path in (ROOT / "src/tenfold/topics").glob("*/README.md"))
LINKED = [*PAGES, *(f"src/tenfold/topics/{topic}/README.md" for topic in TOPICS)]


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", LINKED)
def test_every_relative_link_leads_to_a_file(page):
    links = re.findall(r"\]\(([^)\s#]+)", text_of(page))
    missing = [link for link in links if "://" not in link and not (ROOT / page).parent.joinpath(link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_every_topic_stands_on_the_front_page(page):
    assert [topic for topic in TOPICS if f"(src/tenfold/topics/{topic}/README.md)" not in text_of(page)] == []


def test_both_languages_show_the_same_commands_and_pictures():
    def shown(page: str) -> tuple[set[str], set[str]]:
        text = text_of(page)
        return set(re.findall(r"`((?:tenfold|make) [^`]+)`", text)), set(re.findall(r"!\[[^]]*\]\(([^)]+)\)", text))

    english, chinese = (shown(page) for page in PAGES)
    assert english[1] == chinese[1]
    known = {command for command in english[0] if "VERB" not in command}
    assert known == {command for command in chinese[0] if "VERB" not in command and "动词" not in command}
