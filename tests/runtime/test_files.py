"""Files and folders appear whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import psutil
import pytest
import torch
from torch import nn

from utad_monai.errors import OutputError
from utad_monai.models.weights_file import weights_sha256
from utad_monai.runtime import files as atomic
from utad_monai.runtime.files import atomic_folder, atomic_path, digest, remove_partials, write_json


def write_half_a_file(path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("interrupted")


def write_half_a_folder(path: Path) -> None:
    with atomic_folder(path) as temporary:
        (temporary / "a").write_text("a")
        raise RuntimeError("interrupted")


def test_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "image.nii.gz"
    with atomic_path(str(path)) as temporary:
        assert temporary.parent == path.parent
        assert temporary.name.endswith("image.nii.gz")
        assert temporary.name.startswith(".")
        temporary.write_text("content")
        assert not path.exists()
    assert path.read_text() == "content"
    assert list(path.parent.iterdir()) == [path]


def test_old_file_is_replaced_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_failure_keeps_the_old_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="interrupted"):
        write_half_a_file(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_failed_rename_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"), atomic_path(tmp_path / "taken") as temporary:
        temporary.write_text("content")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_content_is_on_the_disk_before_the_name_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    sync, replace = atomic._sync, os.replace
    monkeypatch.setattr(atomic, "_sync", lambda path: (events.append(f"sync {path.is_dir()}"), sync(path))[1])
    monkeypatch.setattr(os, "replace", lambda *paths: (events.append("rename"), replace(*paths))[1])
    with atomic_path(tmp_path / "file.txt") as temporary:
        temporary.write_text("content")
    assert events == ["sync False", "rename", "sync True"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_permissions_follow_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_json(tmp_path / "file.json", {})
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert (tmp_path / "file.json").stat().st_mode & 0o777 == 0o666 & ~mask


@pytest.mark.parametrize("old", ["", "old"])
def test_kill_in_the_middle_leaves_the_old_file_or_none(tmp_path: Path, old: str) -> None:
    path = tmp_path / "file.txt"
    if old:
        path.write_text(old)
    program = (
        "import os, signal, sys\n"
        "from utad_monai.runtime.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    finished = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert finished.returncode == -signal.SIGKILL
    assert path.exists() == bool(old)
    if old:
        assert path.read_text() == old


def test_folder_appears_with_all_its_files(tmp_path: Path) -> None:
    path = tmp_path / "new" / "entry"
    with atomic_folder(path) as temporary:
        assert temporary.parent == path.parent
        for name in ("a", "b"):
            (temporary / name).write_text(name)
        assert not path.exists()
    assert {file.name: file.read_text() for file in path.iterdir()} == {"a": "a", "b": "b"}
    assert list(path.parent.iterdir()) == [path]


def test_folder_can_be_read_by_others_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with atomic_folder(tmp_path / "entry") as temporary:
            (temporary / "nested").mkdir()
            (temporary / "nested" / "file").write_text("x")
    finally:
        os.umask(before)
    assert (tmp_path / "entry").stat().st_mode & 0o777 == 0o755


def test_every_file_below_a_folder_reaches_the_disk_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr("utad_monai.runtime.files._sync", lambda path: synced.append(path.name))
    with atomic_folder(tmp_path / "entry") as temporary:
        (temporary / "nested").mkdir()
        (temporary / "nested" / "file").write_text("x")
    assert {"nested", "file"} <= set(synced)


def test_failure_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="interrupted"):
        write_half_a_folder(tmp_path / "entry")
    assert list(tmp_path.iterdir()) == []


def test_folder_that_another_process_made_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "entry"
    with atomic_folder(path) as temporary:
        (temporary / "a").write_text("ours")
        path.mkdir()
        (path / "a").write_text("theirs")
    assert (path / "a").read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_that_appears_at_the_very_last_moment_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, rename = tmp_path / "entry", os.rename

    def rename_too_late(*paths: Path) -> None:
        path.mkdir()
        (path / "a").write_text("theirs")
        rename(*paths)

    monkeypatch.setattr(os, "rename", rename_too_late)
    with atomic_folder(path) as temporary:
        (temporary / "a").write_text("ours")
    assert (path / "a").read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_that_cannot_be_renamed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Path) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(OutputError, match="Permission denied"), atomic_folder(tmp_path / "entry"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_json_is_readable_by_people(tmp_path: Path) -> None:
    content = {"name": "BräTS_患者", "sizes": [1, 2.5], "none": None}
    write_json(tmp_path / "file.json", content)
    text = (tmp_path / "file.json").read_text(encoding="utf-8")
    assert json.loads(text) == content
    assert "BräTS_患者" in text
    assert text.startswith('{\n    "name"')
    assert text.endswith("}\n")


def test_content_that_is_no_json_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "file.json", {"old": 1})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(tmp_path / "file.json", {"new": object()})
    assert json.loads((tmp_path / "file.json").read_text()) == {"old": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / ".partial-abc-image.nii.gz").write_bytes(b"half")
    (tmp_path / ".partial-folder").mkdir()
    (tmp_path / ".partial-folder" / "file").write_bytes(b"half")
    (tmp_path / "case" / "image.nii.gz").write_bytes(b"whole")
    remove_partials(tmp_path)
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["case", "image.nii.gz"]
    remove_partials(tmp_path / "absent")


@pytest.fixture
def writer() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_what_a_living_process_writes_stays(tmp_path: Path, writer: subprocess.Popen[bytes]) -> None:
    half = tmp_path / f".partial-{writer.pid}-abc-image.nii.gz"
    half.touch()
    remove_partials(tmp_path)
    assert half.exists()


def test_process_that_ended_writes_no_more_though_nobody_asked_for_its_result(
    tmp_path: Path, writer: subprocess.Popen[bytes]
) -> None:
    (tmp_path / f".partial-{writer.pid}-abc-image.nii.gz").touch()
    writer.kill()
    os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(writer.pid).status() == psutil.STATUS_ZOMBIE
    remove_partials(tmp_path)
    assert not os.listdir(tmp_path)


def test_process_that_is_ending_is_waited_for(tmp_path: Path, writer: subprocess.Popen[bytes]) -> None:
    (tmp_path / f".partial-{writer.pid}-abc-image.nii.gz").touch()
    threading.Timer(0.1, writer.kill).start()
    remove_partials(tmp_path)
    assert not os.listdir(tmp_path)


def test_plain_data_has_one_digest() -> None:
    assert digest([1, ("a", 2.5)]) == digest((1, ["a", 2.5]))
    assert digest([1, "a"]) != digest([1, "b"])
    assert len(digest("")) == 16


def test_a_single_bit_of_a_weight_counts() -> None:
    network, same = nn.Linear(3, 2), nn.Linear(3, 2)
    same.load_state_dict(network.state_dict())
    assert weights_sha256(network) == weights_sha256(same)
    with torch.no_grad():
        same.bias.view(torch.int32)[0] ^= 1
    assert weights_sha256(network) != weights_sha256(same)


def test_buffers_and_memory_formats() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    before = weights_sha256(network)
    assert weights_sha256(network.to(memory_format=torch.channels_last)) == before
    network[1].running_mean += 1  # type: ignore[operator]
    assert weights_sha256(network) != before
