"""The user's own folder: the variable wins, then the system's place for caches."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from utad_monai.runtime import files
from utad_monai.runtime.files import HOME_VARIABLE, home_dir


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (HOME_VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_the_variable_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setenv(HOME_VARIABLE, "~/mine")
    assert home_dir() == tmp_path / "mine"


@pytest.mark.skipif(sys.platform != "linux", reason="the system's place for caches is another one elsewhere")
def test_without_it_the_folder_is_where_the_system_keeps_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, "")
    assert home_dir() == tmp_path / ".cache" / "utad_monai"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert home_dir() == tmp_path / "caches" / "utad_monai"
    assert not home_dir().exists()


def test_who_has_no_home_gets_a_folder_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _nobody(tmp_path, monkeypatch)
    assert home_dir() == tmp_path / f"utad_monai-{os.getuid()}" == home_dir()
    assert home_dir().stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["open to all", "link", "file"])
def test_a_folder_that_somebody_else_may_have_made_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    taken = tmp_path / f"utad_monai-{os.getuid()}"
    if kind == "link":
        (tmp_path / "trap").mkdir(mode=0o700)
        taken.symlink_to(tmp_path / "trap")
    elif kind == "file":
        taken.touch()
    else:
        taken.mkdir()
        taken.chmod(0o777)
    _nobody(tmp_path, monkeypatch)
    assert home_dir() != taken
    assert home_dir().stat().st_mode & 0o777 == 0o700


def test_a_home_that_cannot_be_written_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.tempfile, "tempdir", str(tmp_path))
    files._temporary_home.cache_clear()
    monkeypatch.setattr(files.os, "access", lambda path, _: Path(path) != tmp_path)
    assert home_dir().parent == tmp_path
    (tmp_path / ".cache" / "utad_monai").mkdir(parents=True)
    assert home_dir() == tmp_path / ".cache" / "utad_monai"
    files._temporary_home.cache_clear()


def _nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setattr(files.tempfile, "tempdir", str(tmp_path))
    files._temporary_home.cache_clear()
