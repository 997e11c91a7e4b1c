"""A full disk, a folder that may not be written, a file in the way: one plain line, and the old file stays."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from utad_monai.errors import OutputError, unwritable
from utad_monai.runtime.files import atomic_folder, atomic_path, write_json

FULL = OSError(errno.ENOSPC, "No space left on device", "file")
_NOBODY = 65534


def in_a_process(program: str, *arguments: object, limit: int = 0) -> Any:
    """Run a program; no file of it may grow over `limit` bytes."""
    begin = "import os, resource, sys\n"
    if limit:
        begin += f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
    command = [sys.executable, "-c", begin + program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False)


def write(path: Path, error: Exception) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error


def write_folder(path: Path, error: Exception) -> None:
    with atomic_folder(path):
        raise error


def test_line_says_folder_reason_and_remedy() -> None:
    error = OutputError.of("out", FULL)
    assert str(error) == (
        "out: cannot be written (No space left on device); free space, or choose another output folder"
    )
    assert error.path == Path("out")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert OutputError.of("elsewhere", error) is error


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_full_disk_keeps_the_old_file_and_leaves_nothing(tmp_path: Path, code: int) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(OutputError, match="cannot be written"):
        write(path, OSError(code, os.strerror(code)))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space left on device"):
        write_folder(tmp_path / "entry", FULL)
    assert list(tmp_path.iterdir()) == []


def test_source_that_cannot_be_read_is_no_output_error(tmp_path: Path) -> None:
    with pytest.raises(PermissionError):
        write(tmp_path / "file.txt", PermissionError(errno.EACCES, "Permission denied"))
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_found_behind_what_a_library_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapped = RuntimeError("unexpected pos 640 vs 598")
    wrapped.__context__ = FULL
    with pytest.raises(OutputError, match="No space left"):
        write(tmp_path / "file.txt", wrapped)

    def full(*_: object) -> None:
        raise FULL

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        write(tmp_path / "file.txt", RuntimeError("iostream error"))


def test_errors_that_are_not_about_the_disk_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="another"):
        write(tmp_path / "file.txt", RuntimeError("another"))
    assert unwritable(RuntimeError("another")) is None
    assert list(tmp_path.iterdir()) == []


def test_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="check what it is and its permission, or choose another output folder"):
        write_json(tmp_path / "out" / "file.json", {})


def test_folder_of_another_user_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o555)
    for folder in (tmp_path, *tmp_path.parents[:2]):  # pytest makes them for its user alone
        folder.chmod(0o755)
    program = (
        "from utad_monai.runtime import console, folder_lock\n"
        "console.print_expected_errors_plainly()\n"
        "if os.getuid() == 0:\n"
        "    os.setgroups([])\n"
        f"    os.setuid({_NOBODY})\n"
        "folder_lock.hold_folder(sys.argv[1])"
    )
    finished = in_a_process(program, tmp_path / "out")
    assert finished.returncode == 1
    assert finished.stderr == (
        f"error: {tmp_path / 'out'}: cannot be written (Permission denied); "
        "check what it is and its permission, or choose another output folder\n"
    )


def test_model_that_does_not_fit_on_the_disk_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")
    program = (
        "import torch; from utad_monai.models import content; from utad_monai.runtime import console\n"
        "console.print_expected_errors_plainly()\n"
        "weights = {'generator': {'weight': torch.zeros(300000)}}\n"
        "content.save_content(sys.argv[1], content.ModelKind.TRANSLATOR, weights, {})"
    )
    finished = in_a_process(program, path, limit=200_000)
    assert finished.returncode == 1
    assert finished.stderr == (
        f"error: {tmp_path}: cannot be written (File too large); free space, or choose another output folder\n"
    )
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1
