import hashlib

import pytest

from tenfold.data.download import download
from tenfold.errors import UserError

CONTENT = b"a data set" * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "server" / "set.gz"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path.as_uri()


def left_in(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_into_a_new_folder(source, tmp_path):
    target = tmp_path / "data" / "raw" / "set.gz"
    assert download([source], target, MD5) == target
    assert target.read_bytes() == CONTENT
    assert target.stat().st_mode & 0o777 == 0o644
    assert left_in(target.parent) == ["set.gz"]


def test_the_next_mirror_is_tried(source, tmp_path):
    wrong = tmp_path / "wrong.gz"
    wrong.write_bytes(CONTENT * 2)  # longer, so that something of it could be left over
    mirrors = [(tmp_path / "absent").as_uri(), wrong.as_uri(), source]
    assert download(mirrors, tmp_path / "data" / "set.gz", MD5).read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing_behind(source, tmp_path):
    with pytest.raises(UserError, match=f"could not be downloaded .*md5 {MD5}, expected 0+.*by hand") as caught:
        download([source], tmp_path / "data" / "set.gz", "0" * 32)
    assert "\n" not in str(caught.value)
    assert left_in(tmp_path / "data") == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/set.gz", "file:///no/such/file", "nonsense"])
def test_what_cannot_be_reached_is_told_in_one_line(url, tmp_path):
    with pytest.raises(UserError, match=r"set\.gz: could not be downloaded") as caught:
        download([url], tmp_path / "data" / "set.gz", MD5)
    assert "\n" not in str(caught.value)
    assert left_in(tmp_path / "data") == []


def test_a_folder_that_cannot_be_made_is_told(source, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"data\.root: .*file cannot be written"):
        download([source], tmp_path / "file" / "set.gz", MD5)
