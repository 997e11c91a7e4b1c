"""The documentation builds as a site without a warning, and its generated pages hold what the code has."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from utad_monai.apps.cli import app
from utad_monai.bundle.knobs import KNOBS

pytest.importorskip("mkdocs", reason="the documentation's tools are not installed: make env installs them")
pytest.importorskip("mkdocstrings_handlers.python", reason="mkdocstrings is not installed: make env installs it")
pytest.importorskip("material", reason="mkdocs-material is not installed: make env installs it")

from mkdocs.commands.build import build
from mkdocs.config import load_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def warnings() -> list[str]:
    """Give a list that collects the warnings of the build."""
    return []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, warnings: list[str]) -> Path:
    folder = tmp_path_factory.mktemp("site")

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warnings.append(record.getMessage())

    collector = Collector(logging.WARNING)
    logging.getLogger("mkdocs").addHandler(collector)
    try:
        config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder))
        config.plugins.on_startup(command="build", dirty=False)
        build(config)
        config.plugins.on_shutdown()
    finally:
        logging.getLogger("mkdocs").removeHandler(collector)
    return folder


def test_site_builds_without_a_warning(site: Path, warnings: list[str]) -> None:
    assert warnings == []
    assert (site / "index.html").is_file()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    page = (site / "index.html").read_text(encoding="utf-8")
    assert "fonts.googleapis" not in page


@pytest.mark.parametrize("command", get_command(app).commands)  # type: ignore[attr-defined]
def test_every_command_is_in_the_reference(site: Path, command: str) -> None:
    page = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert f"<code>utad-monai {command}</code>" in page


def settings_of(name: str) -> set[str]:
    content: dict[str, Any] = json.loads((ROOT / "bundles" / f"{name}.json").read_text(encoding="utf-8"))
    return set(content) & set(KNOBS)


@pytest.mark.parametrize("stage", ["teacher", "student", "segmentation", "inference", "evaluate", "teach"])
def test_every_setting_is_in_the_reference(site: Path, stage: str) -> None:
    page = (site / "reference" / "settings.html").read_text(encoding="utf-8")
    section = page.split(f'<h3 id="{stage}">')[1].split("<h3")[0]
    assert {name for name in settings_of(stage) if f"<code>{name}</code>" not in section} == set()


@pytest.mark.parametrize("name", ["Translator", "Translator.complete", "Translator.starter"])
def test_the_python_page_has_what_is_public(site: Path, name: str) -> None:
    assert f'id="utad_monai.translator.{name}"' in (site / "python.html").read_text(encoding="utf-8")


def test_links_of_the_repository_lead_to_pages_of_the_site(site: Path) -> None:
    assert 'href="project/security.html"' in (site / "stages.html").read_text(encoding="utf-8")
    assert 'href="notebooks/first_steps.html"' in (site / "index.html").read_text(encoding="utf-8")
