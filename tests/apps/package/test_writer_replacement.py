"""A finished folder takes the place of an older one; whatever happens, one of the two is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from utad_monai.apps.package.writer import recover_folder, replaced_folder


def write(folder: Path, text: str) -> None:
    with replaced_folder(folder) as temporary:
        (temporary / "file").write_text(text)


def write_half(folder: Path) -> None:
    with replaced_folder(folder) as temporary:
        (temporary / "file").write_text("half")
        raise RuntimeError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_new_folder_appears_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "out" / "package", "new")
    assert names(tmp_path / "out") == ["package"]
    assert (tmp_path / "out" / "package" / "file").read_text() == "new"


def test_older_folder_is_replaced_whole(tmp_path: Path) -> None:
    write(tmp_path / "package", "old")
    (tmp_path / "package" / "stale").write_text("x")
    write(tmp_path / "package", "new")
    assert names(tmp_path) == ["package"]
    assert names(tmp_path / "package") == ["file"]
    assert (tmp_path / "package" / "file").read_text() == "new"


def test_failure_while_writing_keeps_the_old_folder(tmp_path: Path) -> None:
    write(tmp_path / "package", "old")
    with pytest.raises(RuntimeError):
        write_half(tmp_path / "package")
    assert names(tmp_path) == ["package"]
    assert (tmp_path / "package" / "file").read_text() == "old"


def test_rename_that_fails_keeps_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "package", "old")
    rename = os.rename

    def failing(source: Path, target: Path) -> None:
        if Path(source).name == ".finished-package":
            raise PermissionError
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(PermissionError):
        write(tmp_path / "package", "new")
    assert names(tmp_path) == ["package"]
    assert (tmp_path / "package" / "file").read_text() == "old"


def test_kill_between_the_renames_is_mended_by_the_next_call(tmp_path: Path) -> None:
    (tmp_path / ".previous-package").mkdir()
    (tmp_path / ".previous-package" / "file").write_text("old")
    (tmp_path / ".finished-package").mkdir()
    recover_folder(tmp_path / "package")
    assert (tmp_path / "package" / "file").read_text() == "old"
    write(tmp_path / "package", "new")
    assert names(tmp_path) == ["package"]
    assert (tmp_path / "package" / "file").read_text() == "new"


def test_kill_before_the_old_folder_was_dropped_keeps_the_new_one(tmp_path: Path) -> None:
    write(tmp_path / "package", "new")
    (tmp_path / ".previous-package").mkdir()
    recover_folder(tmp_path / "package")
    assert names(tmp_path) == ["package"]
    assert (tmp_path / "package" / "file").read_text() == "new"
