"""The newest sound state of a training is found, whatever happened to the others."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from utad_monai.handlers.resume import state as training_state
from utad_monai.handlers.resume.state import ResumeError, newest_sound_state, remove_states, save_state


def save(folder: Path, iteration: int, finished: bool = False) -> Path:
    return save_state(folder, iteration, {"parts": {"weights": torch.full((4,), float(iteration))}}, finished)


def found(folder: Path) -> float | None:
    state = newest_sound_state(folder)
    return None if state is None else float(state["parts"]["weights"][0])


def test_without_a_state_there_is_none(tmp_path: Path) -> None:
    assert newest_sound_state(tmp_path / "absent") is None


def test_the_last_two_states_stay(tmp_path: Path) -> None:
    for iteration in (5, 12, 100, 20000):
        save(tmp_path, iteration)
    names = sorted(path.name for path in tmp_path.iterdir())
    expected = ["iteration_0000000100.pt", "iteration_0000020000.pt"]
    assert names == sorted([*expected, *(f"{name}.sha256" for name in expected)])
    assert found(tmp_path) == 20000


def test_a_finished_training_keeps_one_state(tmp_path: Path) -> None:
    save(tmp_path, 5)
    save(tmp_path, 9)
    save(tmp_path, 9, finished=True)
    assert [path.name for path in tmp_path.glob("*.pt")] == ["iteration_0000000009_finished.pt"]
    assert found(tmp_path) == 9


def test_the_hash_is_one_that_sha256sum_can_check(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    line = path.with_name(f"{path.name}.sha256").read_text(encoding="ascii")
    assert line == f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"


def test_the_same_state_has_the_same_bytes(tmp_path: Path) -> None:
    assert save(tmp_path / "one", 3).read_bytes() == save(tmp_path / "two", 3).read_bytes()


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "hash lost", "hash damaged", "other format"])
def test_a_damaged_state_is_reported_and_passed_over(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)
    if damage == "other format":
        monkeypatch.setattr(training_state, "_FORMAT", 0)
    newest = save(tmp_path, 2)
    monkeypatch.undo()
    content, hash_file = newest.read_bytes(), newest.with_name(f"{newest.name}.sha256")
    if damage == "cut":
        newest.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        newest.write_bytes(content[:700] + bytes([content[700] ^ 4]) + content[701:])
    elif damage == "emptied":
        newest.write_bytes(b"")
    elif damage == "hash lost":
        hash_file.unlink()
    elif damage == "hash damaged":
        hash_file.write_bytes(b"\xff\xfe")
    assert found(tmp_path) == 1
    assert str(newest) in caplog.text
    assert "passed over" in caplog.text


def test_only_damaged_states_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    save(tmp_path, 1).write_bytes(b"nothing")
    with pytest.raises(ResumeError, match="holds 1 training states and none is sound; give --resume never") as refused:
        newest_sound_state(tmp_path)
    assert refused.value.path == tmp_path


def test_a_damaged_state_does_not_push_out_a_sound_one(tmp_path: Path) -> None:
    save(tmp_path, 10)
    save(tmp_path, 20).write_bytes(b"damaged")
    save(tmp_path, 12)
    save(tmp_path, 14)
    assert sorted(path.name[10:20] for path in tmp_path.glob("*.pt")) == ["0000000012", "0000000014"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training_state.torch, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path, 2)
    assert found(tmp_path) == 1


def test_removed_states_are_gone_and_nothing_else(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    remove_states(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
