"""`make` installs once, repairs what was interrupted, and says in one line what keeps it from installing."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

# Stands for the system's Python and for the one in .venv. It notes what it was asked for; `pip install` does what
# pip.sh says.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
  *ensurepip*) test ! -e no-venv-module ;;
  *version_info*) test ! -e too-old ;;
  "-m venv --clear .venv") echo venv >>calls; rm -rf .venv; mkdir -p .venv/bin; cp fake-python .venv/bin/python ;;
  "-m pip install"*) echo "$*" >>calls; . ./pip.sh ;;
  -V) echo Python 3.99.0 ;;
esac
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


class Checkout:
    """A folder with the Makefile, pyproject.toml and a Python that only pretends to install."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copy(ROOT / "Makefile", folder)
        self.write("pyproject.toml", "[project]\n")
        self.write("fake-python", FAKE_PYTHON)
        self.write("pip.sh", 'echo "Installing collected packages: torch, tenfold"')
        (folder / "fake-python").chmod(0o755)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        command = ["make", "PYTHON=./fake-python", "DISK_GB=0", *arguments]
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=60)

    def calls(self) -> list[str]:
        """What was asked of the fake Python since the last look: `venv`, or the extra that pip was to install."""
        path = self.folder / "calls"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line if line == "venv" else re.search(r"\[(.*)\]", line)[1] for line in lines]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_make_alone_lists_every_target(checkout: Checkout) -> None:
    targets = set(re.search(r"^\.PHONY: (.*)", MAKEFILE, re.MULTILINE)[1].split()) - {"FORCE"}
    done = checkout.make()
    assert {"train", "test", "lint", "bench", "dashboard", "clean"} <= targets
    assert set(re.findall(r"^  (\w+) +\S", done.stdout, re.MULTILINE)) == targets
    assert done.returncode == 0 and checkout.calls() == []


def test_the_second_call_installs_nothing_until_pyproject_changes(checkout: Checkout) -> None:
    assert checkout.make("install").returncode == 0
    assert checkout.calls() == ["venv", "export"]
    (checkout.folder / "pyproject.toml").touch()
    checkout.make("install")
    assert checkout.calls() == []
    checkout.write("pyproject.toml", "[project]\nname = 'tenfold'\n")
    checkout.make("install")
    assert checkout.calls() == ["export"]
    checkout.write("pyproject.toml", "[project]\n")
    checkout.make("install")
    assert checkout.calls() == ["export"], "what an older pyproject.toml installed counts no longer"


def test_an_interrupted_install_is_made_anew(checkout: Checkout) -> None:
    checkout.write("pip.sh", 'echo "Installing collected packages: torch"; kill -9 $$')
    assert checkout.make("install").returncode == 2
    checkout.write("pip.sh", "true")
    checkout.calls()
    assert checkout.make("install").returncode == 0
    assert checkout.calls() == ["venv", "export"]


def test_a_venv_whose_python_is_gone_is_made_anew(checkout: Checkout) -> None:
    checkout.make("install")
    checkout.calls()
    (checkout.folder / ".venv/bin/python").unlink()
    (checkout.folder / ".venv/bin/python").symlink_to("/nonexistent/python3")
    assert checkout.make("install").returncode == 0
    assert checkout.calls() == ["venv", "export"]


@pytest.mark.parametrize(
    "argument, expected",
    [
        ("PYTHON=no-such-python", "no Python 3.11 or newer found (tried no-such-python)"),
        ("PYTHON=false", "no Python 3.11 or newer found (tried false)"),
        ("DISK_GB=9999999", "too little disk: the first install takes up to 9999999 GB"),
    ],
)
def test_what_is_missing_is_said_in_one_line(checkout: Checkout, argument: str, expected: str) -> None:
    done = checkout.make("train", argument)
    assert expected in done.stderr and done.stderr.count("\n") == 1
    assert done.returncode == 2 and done.stdout == ""
    assert not (checkout.folder / ".venv").exists()


def test_a_missing_venv_module_is_said_in_one_line(checkout: Checkout) -> None:
    checkout.write("no-venv-module", "")
    done = checkout.make("test")
    assert "./fake-python cannot make a .venv, its venv module is missing" in done.stderr
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and checkout.calls() == []


def test_a_venv_of_an_older_python_is_said_in_one_line(checkout: Checkout) -> None:
    checkout.make("install")
    checkout.write("too-old", "")
    checkout.write("pyproject.toml", "[project]\nname = 'tenfold'\n")
    done = checkout.make("install")
    assert ".venv has Python 3.99.0, Tenfold needs 3.11 or newer: remove .venv and run make again" in done.stderr
    assert done.returncode == 2 and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "said, expected",
    [
        ("Collecting x\nERROR: No matching distribution found for x", "ERROR: No matching distribution found for x"),
        ("WARNING: Retrying (Retry(total=0))\nERROR: No matching", "the package registry does not answer"),
        ("something unheard of", "something unheard of"),
    ],
)
def test_a_failed_install_says_why_and_where(checkout: Checkout, said: str, expected: str) -> None:
    checkout.write("pip.sh", f'echo "{said}"; exit 1')
    done = checkout.make("train")
    first, *rest = done.stderr.splitlines()
    assert first == f"tenfold: the install failed: {expected} (all of it: .venv/.tenfold/pip.log)"
    assert done.returncode == 2 and len(rest) == 1, "one line of ours, one of make's"
    assert said in (checkout.folder / ".venv/.tenfold/pip.log").read_text(encoding="utf-8")


def test_an_install_shows_the_large_downloads_alone(checkout: Checkout) -> None:
    downloads = ["torch-2.15.0-cp311-cp311-linux.whl (539.1 MB)", "tqdm-4.70-py3-none-any.whl (9.5 MB)"]
    checkout.write("pip.sh", "\n".join(f'echo "  Downloading {name}"' for name in downloads))
    done = checkout.make("install")
    assert re.findall("  Downloading .*", done.stdout) == ["  Downloading torch (539.1 MB)"]


def test_clean_keeps_what_was_installed_and_what_was_trained(checkout: Checkout) -> None:
    for kept in ("outputs/run/last.ckpt", ".venv/bin/tenfold", "src/tenfold/data/x.py"):
        (checkout.folder / kept).parent.mkdir(parents=True)
        (checkout.folder / kept).touch()
    for gone in ("dist/x.whl", "src/tenfold/__pycache__/x.pyc", "conf/__pycache__/x.pyc", "tests/__pycache__/x.pyc"):
        (checkout.folder / gone).parent.mkdir(parents=True)
        (checkout.folder / gone).touch()
    assert checkout.make("clean").returncode == 0
    left = {path.relative_to(checkout.folder).as_posix() for path in checkout.folder.rglob("*") if path.is_file()}
    assert {"outputs/run/last.ckpt", ".venv/bin/tenfold", "src/tenfold/data/x.py"} <= left
    assert not any("__pycache__" in name or name.startswith("dist") for name in left)


def test_ci_fails_with_the_linters_and_ends_with_the_tests(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    (tmp_path / "Makefile").write_text("lint:\n\t@exit $(LINT)\ntest:\n\t@echo 3 passed; exit $(TESTS)\n")
    for lint, tests in [(0, 0), (1, 0), (0, 1)]:
        env = os.environ | {"LINT": str(lint), "TESTS": str(tests)}
        done = subprocess.run(["bash", ".ci/run"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
        assert (done.returncode != 0) == bool(lint or tests)
        assert "3 passed" in done.stdout.splitlines()
