"""One run a folder: another is refused politely, a killed one holds nothing, and what it left is removed safely."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from utad_monai.errors import OutputError
from utad_monai.runtime import folder_lock
from utad_monai.runtime.folder_lock import LOCK_FILE, FolderInUseError, in_use, locked_folder

_HOLDER = """
import os, sys, time
from utad_monai.runtime.folder_lock import locked_folder
with locked_folder(sys.argv[1], shared=sys.argv[2] == "shared"):
    forked = os.fork() if sys.argv[2] == "forked" else 1
    if forked:
        print(forked, flush=True)
    time.sleep(600)
"""
Hold = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Give `hold(folder, how)`, which holds a folder in another process: `alone`, `shared`, or alone and `forked`."""
    processes: list[subprocess.Popen[str]] = []

    def _hold(folder: Path, how: str = "alone") -> subprocess.Popen[str]:
        program = [sys.executable, "-c", _HOLDER, str(folder), how]
        process = subprocess.Popen(program, stdout=subprocess.PIPE, encoding="utf-8")
        processes.append(process)
        assert process.stdout is not None
        process.forked = int(process.stdout.readline())  # type: ignore[attr-defined]
        return process

    yield _hold
    for process in processes:
        process.kill()
        process.wait()


def leave_partials(folder: Path, process: int | str = "x") -> None:
    (folder / "deep").mkdir(parents=True, exist_ok=True)
    (folder / f".partial-{process}-a-file").write_bytes(b"half")
    (folder / "deep" / f".partial-{process}-b-file").write_bytes(b"half")


def partials(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".partial-*"))


def test_folder_is_made_held_and_nothing_stays(tmp_path: Path) -> None:
    with locked_folder(tmp_path / "new" / "out") as folder:
        assert (folder / LOCK_FILE).is_file()
        assert not in_use(folder)  # by others
    assert list((tmp_path / "new" / "out").iterdir()) == []


def test_second_run_is_refused_in_one_line_that_names_the_first(tmp_path: Path, hold: Hold) -> None:
    process = hold(tmp_path)
    with pytest.raises(FolderInUseError) as refused, locked_folder(tmp_path):
        pass
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{tmp_path}: is in use by process {process.pid} on {socket.gethostname()} since 20")
    assert line.endswith("; wait until it ends, or choose another output folder")
    assert refused.value.path == tmp_path
    assert in_use(tmp_path)
    assert str(pickle.loads(pickle.dumps(refused.value))) == line


@pytest.mark.parametrize("how", ["alone", "forked"])
def test_killed_run_holds_nothing_even_when_its_workers_live(tmp_path: Path, hold: Hold, how: str) -> None:
    process = hold(tmp_path, how)
    leave_partials(tmp_path, process.pid)
    process.kill()
    process.wait()
    try:
        with locked_folder(tmp_path):
            assert partials(tmp_path) == []
    finally:
        if how == "forked":
            os.kill(process.forked, signal.SIGKILL)  # type: ignore[attr-defined]


def test_nested_blocks_of_one_process_share_its_lock(tmp_path: Path) -> None:
    with locked_folder(tmp_path):
        with locked_folder(tmp_path):
            pass
        assert (tmp_path / LOCK_FILE).is_file()
    assert not (tmp_path / LOCK_FILE).exists()


def test_folder_that_was_made_anew_is_locked_anew(tmp_path: Path) -> None:
    with locked_folder(tmp_path):
        (tmp_path / LOCK_FILE).unlink()
        with locked_folder(tmp_path):
            assert (tmp_path / LOCK_FILE).is_file()


def test_sharers_hold_a_folder_together(tmp_path: Path, hold: Hold) -> None:
    first = hold(tmp_path, "shared")
    with locked_folder(tmp_path, shared=True):
        first.kill()
        first.wait()
        assert (tmp_path / LOCK_FILE).is_file()
        refused = _hold_alone(tmp_path)
        assert "FolderInUseError" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_nobody_is_alone_where_others_share(tmp_path: Path, hold: Hold) -> None:
    hold(tmp_path, "shared")
    with pytest.raises(FolderInUseError), locked_folder(tmp_path):
        pass


def test_nobody_shares_where_another_is_alone(tmp_path: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_lock, "_PATIENCE_SECONDS", 0.2)
    hold(tmp_path)
    with pytest.raises(FolderInUseError), locked_folder(tmp_path, shared=True):
        pass


def test_sharer_cleans_only_when_it_is_alone(tmp_path: Path, hold: Hold) -> None:
    first = hold(tmp_path, "shared")
    leave_partials(tmp_path)
    with locked_folder(tmp_path, shared=True):
        assert len(partials(tmp_path)) == 2
    first.kill()
    first.wait()
    with locked_folder(tmp_path, shared=True):
        assert partials(tmp_path) == []


def test_temporary_of_a_living_process_stays(tmp_path: Path, hold: Hold) -> None:
    other = hold(tmp_path / "elsewhere")
    leave_partials(tmp_path / "out", other.pid)
    with locked_folder(tmp_path / "out"):
        assert len(partials(tmp_path)) == 2
    other.kill()
    other.wait()
    with locked_folder(tmp_path / "out"):
        assert partials(tmp_path) == []


def test_folder_that_another_run_holds_is_not_cleaned_from_above(tmp_path: Path, hold: Hold) -> None:
    hold(tmp_path / "teacher")
    leave_partials(tmp_path / "teacher")
    leave_partials(tmp_path / "student")
    with locked_folder(tmp_path):
        assert partials(tmp_path) == ["teacher/.partial-x-a-file", "teacher/deep/.partial-x-b-file"]


def test_only_what_lies_directly_inside_is_cleaned_when_asked(tmp_path: Path) -> None:
    leave_partials(tmp_path)
    with locked_folder(tmp_path, deep=False):
        assert partials(tmp_path) == ["deep/.partial-x-b-file"]


def test_block_that_fails_leaves_nothing_of_its_dead_workers(tmp_path: Path, hold: Hold) -> None:
    worker = hold(tmp_path / "elsewhere")

    def fail() -> None:
        with locked_folder(tmp_path / "out"):
            leave_partials(tmp_path / "out", worker.pid)
            worker.kill()
            worker.wait()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert partials(tmp_path) == []


def test_file_in_the_place_of_the_folder_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match=r"out: cannot be written \(File exists\); check what it is") as refused:
        locked_folder(tmp_path / "out").__enter__()
    assert refused.value.path == tmp_path / "out"


def test_file_system_without_locks_is_used_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with caplog.at_level(logging.WARNING), locked_folder(tmp_path):
        pass
    assert "knows no locks (No locks available)" in caplog.text


def test_lock_of_a_bundle_ends_with_its_process(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from utad_monai.runtime.folder_lock import LOCK_FILE, hold_folder\n"
        "hold_folder(sys.argv[1]); hold_folder(sys.argv[1])\n"
        "assert (Path(sys.argv[1]) / LOCK_FILE).is_file()"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    assert list(tmp_path.iterdir()) == []


def _hold_alone(folder: Path) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", _HOLDER, str(folder), "alone"]
    return subprocess.run(program, capture_output=True, encoding="utf-8", check=False)
