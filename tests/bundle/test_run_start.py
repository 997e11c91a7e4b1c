"""What a bundle does first, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from utad_monai.bundle import run as start


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace every step but the seeding; give the names of those that ran."""
    ran: list[str] = []
    names = ("print_expected_errors_plainly", "refuse_unknown_overrides", "keep_freed_memory", "hold_folder")
    for name in names:
        monkeypatch.setattr(start, name, lambda *_, name=name: ran.append(name))
    monkeypatch.setattr(start.parallel, "start", lambda: ran.append("processes"))
    return ran


def test_errors_are_plain_and_overrides_checked_before_the_folder_is_held(steps: list[str], tmp_path: Path) -> None:
    start.begin(tmp_path)
    assert steps == ["print_expected_errors_plainly", "refuse_unknown_overrides", "keep_freed_memory", "hold_folder"]


def test_processes_find_each_other_before_the_folder_is_held(steps: list[str], tmp_path: Path) -> None:
    start.begin(tmp_path, processes=True)
    assert steps[-2:] == ["processes", "hold_folder"]


@pytest.mark.usefixtures("steps")
def test_same_seed_draws_the_same(tmp_path: Path) -> None:
    drawn = []
    for _ in range(2):
        start.begin(tmp_path, seed=3)
        drawn.append(torch.rand(3))
    assert torch.equal(*drawn)
