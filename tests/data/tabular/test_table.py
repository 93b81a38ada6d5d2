import io

import pytest

from tenfold.data.tabular.table import read_table
from tenfold.errors import UserError


@pytest.fixture
def read(tmp_path):
    def write_and_read(text, separator=None):
        path = tmp_path / "a.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_table(str(path), separator)

    return write_and_read


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found_from_the_header(read, separator):
    table = read(f"width{separator}the 'name'\n1.5{separator}x\n")
    assert table.columns == ("width", "the 'name'")
    assert table.rows == [["1.5", "x"]]


def test_quotes_blank_lines_and_a_byte_order_mark(read):
    table = read(b'\xef\xbb\xbfname, size\r\n"Smith, J.\nand son", 3\r\n\r\n"He said ""no""",4\r\n')
    assert table.columns == ("name", "size")
    assert table.column("name") == ["Smith, J.\nand son", 'He said "no"']
    assert table.column("size") == ["3", "4"]
    assert table.lines == [3, 5]


def test_a_separator_can_be_given(read):
    assert read("a:b,c\n1:2\n", ":").columns == ("a", "b,c")


def test_stdin_is_read(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("\ufeffa,b\n1,2\n"))
    table = read_table("-")
    assert (table.source, table.columns, table.rows) == ("stdin", ("a", "b"), [["1", "2"]])


@pytest.mark.parametrize("text, message", [
    ("a,b\n1,2\n3\n4,5\n", "line 3: found 1 cells, expected 2"),
    ("a,b\n1,2,3\n", "line 2: found 3 cells, expected 2"),
    ("", "empty, expected a line with the names of the columns"),
    ("\n\n", "empty, expected"),
    ("a,b\n", "found a header and no rows"),
    ("1,2\n3,4\n", "the first line holds numbers only"),
    ("a,b,a\n1,2,3\n", "names column 'a' twice"),
    (b"\xff\xfe\x00a", r"not text in UTF-8 \(byte 0\)"),
    ("a,b\n" + "x" * 200_000 + ",1\n", "line 2: not a table of separated values"),
])  # fmt: skip
def test_what_is_no_table_is_told_in_one_line(read, text, message):
    with pytest.raises(UserError, match=rf"a\.csv.*{message}") as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_a_file_or_column_that_is_absent_is_named(read, tmp_path):
    with pytest.raises(UserError, match=r"no\.csv: cannot be read \(No such file"):
        read_table(str(tmp_path / "no.csv"))
    with pytest.raises(UserError, match=r"a\.csv: no column 'Speces'; did you mean 'species'\?"):
        read("species,x\na,1\n").column("Speces")
    with pytest.raises(UserError, match="no column 'target'; the header has species, x"):
        read("species,x\na,1\n").column("target")
