"""text8 is found, unpacked and downloaded; from a stand-in of a few words, without a network."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from tenfold.config.compose import compose, to_plain
from tenfold.engine.build import build_data
from tenfold.errors import UserError
from tenfold.topics.word_embeddings import text8
from tenfold.topics.word_embeddings.text8 import Text8

WORDS = [f"word{'abcdefg'[number % 7]}" for number in range(4321)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The server's file, and its checksum in place of the real one."""
    path = tmp_path / "server" / "text8.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("text8", " " + " ".join(WORDS))
    monkeypatch.setattr(Text8, "urls", [path.as_uri()])
    monkeypatch.setattr(Text8, "checksum", hashlib.md5(path.read_bytes()).hexdigest())
    return path


def config(root: Path, *overrides: str) -> Text8:
    chosen = ["experiment=word_embeddings/people_daily_skipgram", "data=text/text8", f"data.root={root}"]
    data = build_data(to_plain(compose("train", [*chosen, "data.length=500", "folder=run", *overrides])))
    assert isinstance(data, Text8)
    return data


def test_it_is_downloaded_checked_and_unpacked_once(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = config(tmp_path / "data")
    data.setup()
    assert data.spec.words == tuple(f"word{letter}" for letter in "abcdefg")
    assert sum(data.read().counts) == len(WORDS)
    assert (data.read().tokens == -1).sum() == 5  # no line ends: a sentence is a thousand words
    assert sorted(path.name for path in (tmp_path / "data" / "text8").iterdir()) == ["text8", "text8.zip"]
    monkeypatch.setattr(text8, "download", None)  # what is there is not fetched again
    config(tmp_path / "data").setup()


@pytest.mark.parametrize("name", ["text8", "text8/text8", "text8.zip", "text8/text8.zip"])
def test_it_is_found_under_the_root(archive: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "data" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(archive.read_bytes() if name.endswith("zip") else " ".join(WORDS).encode())
    data = config(tmp_path / "data", "data.download=false")
    data.setup()
    assert sum(data.read().counts) == len(WORDS)


def test_what_is_missing_or_damaged_is_told(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"data.root: no text8 or text8.zip in .*data.download=true"):
        config(tmp_path / "none", "data.download=false").setup()
    monkeypatch.setattr(Text8, "checksum", "0" * 32)
    with pytest.raises(UserError, match="could not be downloaded"):
        config(tmp_path / "none").setup()
    (tmp_path / "text8.zip").write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(UserError, match="expected a zip archive that holds text8"):
        config(tmp_path, "data.download=false").setup()
    assert not (tmp_path / "text8").exists()
