"""The wheel works in an empty folder, and declares what the code imports."""

import ast
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*command: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """The finished command; its output is in the failure message where its exit code is not 0."""
    done = subprocess.run(command, cwd=cwd, env=os.environ | env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def config_files() -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in (ROOT / "conf").rglob("*.yaml")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    run(sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder, ROOT, cwd=folder)
    return next(folder.glob("tenfold-*.whl"))


@pytest.fixture(scope="module")
def site(wheel: Path) -> Path:
    """A folder that holds the installed wheel alone."""
    folder = wheel.parent / "site"
    options = ["--no-deps", "--no-index", "--disable-pip-version-check"]
    run(sys.executable, "-m", "pip", "install", *options, "--target", folder, wheel, cwd=wheel.parent)
    return folder


def test_wheel_carries_configs_and_topic_pages(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    pages = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src/tenfold/topics").glob("*/README.md")}
    assert "conf/train.yaml" in config_files()
    assert {f"tenfold/{name}" for name in config_files()} <= held
    assert pages <= held
    packages = {path.name for path in (ROOT / "src").iterdir()}
    assert {Path(name).parts[0] for name in held} == packages | {wheel.name.rsplit("-", 3)[0] + ".dist-info"}


def test_source_distribution_carries_configs(tmp_path: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, cwd=ROOT)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert config_files() | {"pyproject.toml", "LICENSE", "README.md", "src/tenfold/cli.py"} <= held


@pytest.mark.slow
def test_wheel_trains_in_an_empty_folder(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TENFOLD_OUTPUTS", raising=False)
    imported = run(sys.executable, "-c", "import tenfold; print(tenfold.__file__)", cwd=tmp_path, PYTHONPATH=str(site))
    assert Path(imported.stdout.strip()).is_relative_to(site)
    overrides = ["experiment=classification/digits", "debug=fast"]
    run(sys.executable, "-m", "tenfold", "train", *overrides, cwd=tmp_path, PYTHONPATH=str(site))
    assert {path.name for path in tmp_path.iterdir()} == {"outputs"}
    assert len(list((tmp_path / "outputs/classification/digits").iterdir())) == 1


def test_the_package_itself_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys, tenfold, tenfold.errors; print(*sys.modules)"
    loaded = set(run(sys.executable, "-c", code, cwd=tmp_path).stdout.split())
    assert not loaded & {"torch", "numpy", "lightning", "hydra", "omegaconf"}


def canonical(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def test_every_import_is_declared() -> None:
    extras = PROJECT["optional-dependencies"]
    declared = {canonical(line) for name in ("export", "wandb", "mlflow", "word_embeddings") for line in extras[name]}
    declared |= {canonical(line) for line in PROJECT["dependencies"]}
    distributions = packages_distributions()
    ours = {path.name for path in (ROOT / "src").iterdir()}
    for path in (ROOT / "src").rglob("*.py"):
        for module in imported_modules(path) - sys.stdlib_module_names - ours:
            providers = {canonical(name) for name in distributions.get(module, [module])}
            assert providers & declared, f"{path.relative_to(ROOT)} imports {module}, not named in pyproject.toml"


def imported_modules(path: Path) -> set[str]:
    """First parts of the names of all modules that a file imports, inside functions too."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return {name.partition(".")[0] for name in names}
