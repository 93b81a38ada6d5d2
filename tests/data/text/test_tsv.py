import pytest

from tenfold.data.text.tsv import TSV
from tenfold.errors import UserError


def write(path, lines, encoding="utf-8"):
    path.write_bytes("\n".join(lines).encode(encoding))
    return str(path)


@pytest.fixture
def path(tmp_path):
    lines = [f"{'ham' if index % 2 else 'spam'}\tmessage {index}" for index in range(40)]
    return write(tmp_path / "mail.tsv", lines)


def make(path, **arguments):
    data = TSV(path=path, batch_size=4, **arguments)
    data.setup()
    return data


def test_one_file_is_split_by_fraction(path):
    data = make(path, val_fraction=0.2, test_fraction=0.1)
    assert {split: len(part) for split, part in data.splits.items()} == {"train": 28, "val": 8, "test": 4}
    assert data.spec.class_names == ("ham", "spam")
    text = data.example("val", 0)
    assert data.labels("val")[0] == (int(text.split()[1]) + 1) % 2


def test_files_of_their_own_are_taken_whole_and_in_order(path, tmp_path):
    test = write(tmp_path / "test.tsv", ["spam\tb", "", "ham\ta\twith a tab", "spam\tb"])
    data = make(path, test_path=test, val_fraction=0.1)
    assert data.texts["test"].texts == ["b", "a\twith a tab", "b"]
    assert data.labels("test").tolist() == [1, 0, 1]
    assert len(data.splits["train"]) == 36
    assert len(data.splits["val"]) == 4


def test_windows_line_ends_and_byte_order_mark(tmp_path):
    lines = [f"{'ham' if index % 2 else 'spam'}\tmessage {index}\r" for index in range(40)]
    data = make(write(tmp_path / "mail.tsv", lines, "utf-8-sig"))
    assert data.spec.class_names == ("ham", "spam")
    assert not any("\r" in text for text in data.texts["train"].texts)


@pytest.mark.parametrize(
    "lines, message",
    [
        ([], r"mail.tsv: the file holds no text"),
        (["", "  "], r"mail.tsv: the file holds no text"),
        (["ham\ta", "", "spam b"], r"mail.tsv line 3: found 'spam b', expected a label, one TAB and the text"),
        (["ham\ta", "spam\t"], r"mail.tsv line 2: found 'spam'"),
        (["ham\ta", "\tb"], r"mail.tsv line 2: found 'b'"),
        ([f"ham\t{index}" for index in range(40)], r"of one class \('ham'\)"),
    ],
)
def test_bad_files_are_refused_with_the_line(tmp_path, lines, message):
    with pytest.raises(UserError, match=message):
        make(write(tmp_path / "mail.tsv", lines))


def test_an_unknown_label_in_test_is_refused_with_the_line(path, tmp_path):
    test = write(tmp_path / "test.tsv", ["spam\tb", "hum\ta"])
    with pytest.raises(UserError, match=r"test.tsv line 2: label 'hum'.*did you mean 'ham'"):
        make(path, test_path=test)


def test_bad_encoding_is_refused_with_the_line(tmp_path):
    with pytest.raises(UserError, match=r"mail.tsv line 2: byte 5 \(0xe9\) is not UTF-8"):
        make(write(tmp_path / "mail.tsv", ["ham\ta", "ham\té"], "latin-1"))


def test_a_missing_file_names_its_neighbour(path):
    with pytest.raises(UserError, match=r"mails.tsv: no such file; did you mean 'mail.tsv'"):
        make(path.replace("mail.tsv", "mails.tsv"))
