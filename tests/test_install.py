"""What an installation brings: every library that is imported, none that is heavy and needed by one command alone."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Mapping
from configparser import ConfigParser
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from setuptools import find_packages

ROOT = Path(__file__).resolve().parent.parent
PREPARE = ROOT / "utad_monai" / "apps" / "prepare"
LIBRARY = sorted(path for package in ("utad_monai", "transforms") for path in (ROOT / package).rglob("*.py"))
NEEDED_BY_ONE_COMMAND = {"simpleitk", "itk", "onnx", "onnxruntime", "onnxscript", "openvino", "mlflow-skinny"}


@cache
def settings() -> ConfigParser:
    config = ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


@cache
def distributions() -> Mapping[str, list[str]]:
    """Return the distributions of every module that can be imported here."""
    return packages_distributions()


def plain(name: str) -> str:
    """Return the name of a distribution as indexes spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def names_in(text: str) -> set[str]:
    """Return the distributions that lines of requirements name, and the extras of others, such as MONAI's `fire`."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {plain(name) for line in lines for name in re.split(r"[\[\],]", re.split(r"[<>=~;]", line)[0]) if name}


def extra(name: str) -> set[str]:
    return names_in(settings()["options.extras_require"][name])


def required() -> set[str]:
    return names_in(settings()["options"]["install_requires"])


def imported_by(path: Path) -> set[str]:
    """Return the distributions whose modules a file imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).partition(".")[0])
    others = names - {"utad_monai"} - sys.stdlib_module_names
    return {plain(distributions().get(name, [name])[0]) for name in others}


@pytest.mark.parametrize("path", LIBRARY, ids=[str(path.relative_to(ROOT)) for path in LIBRARY])
def test_every_library_that_is_imported_is_required(path: Path) -> None:
    installed = required() | (extra("prepare") if path.is_relative_to(PREPARE) else set())
    assert imported_by(path) - installed == set()


def test_what_one_command_needs_is_an_extra() -> None:
    assert required() & NEEDED_BY_ONE_COMMAND == set()
    extras = set(settings()["options.extras_require"]) - {"all", "dev"}
    assert set().union(*map(extra, extras)) >= NEEDED_BY_ONE_COMMAND
    assert extra("all") - {"utad-monai"} == extras


def test_developers_have_every_extra_in_exact_versions() -> None:
    extras = set(settings()["options.extras_require"]) - {"all", "dev"}
    assert set().union(*map(extra, extras)) - extra("dev") == set()
    locked = names_in((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    assert (required() | extra("dev")) - locked == set()


def test_nothing_but_the_package_is_installed_at_the_top_level() -> None:
    pattern = settings()["options.packages.find"]["include"].split()
    packages = find_packages(str(ROOT), include=pattern)
    assert {name.partition(".")[0] for name in packages} == {"utad_monai"}
    assert {"utad_monai.transforms", "utad_monai.apps.complete.trees"} <= set(packages)


def test_prepare_without_its_extra_is_one_line_and_its_help_is_there_all_the_same() -> None:
    program = (
        "import sys\n"
        "from utad_monai.apps.cli import main\n"
        "sys.modules['SimpleITK'] = None\n"
        "sys.argv = ['utad-monai', 'prepare', *sys.argv[1:]]\n"
        "main()"
    )
    missing, explained = (
        subprocess.run(
            [sys.executable, "-c", program, *words], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
        )
        for words in (["raw", "cohort", "--dry-run"], ["--help"])
    )
    line = 'error: utad-monai prepare: SimpleITK is not installed; pip install "utad-monai[prepare]"'
    assert (missing.returncode, missing.stderr.splitlines(), missing.stdout) == (1, [line], "")
    assert explained.returncode == 0, explained.stderr


def test_windows_is_told_what_works() -> None:
    program = "import sys; sys.platform = 'win32'; import utad_monai"
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    assert finished.returncode == 1
    assert finished.stderr.splitlines()[-1].startswith("ImportError: utad-monai works on Linux and macOS; on Windows")
    assert "Windows" not in settings()["metadata"]["classifiers"]
    assert "OS Independent" not in settings()["metadata"]["classifiers"]
