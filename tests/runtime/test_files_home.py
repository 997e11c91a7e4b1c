"""The user's own folder: the variable wins, then the system's place for caches."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

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
