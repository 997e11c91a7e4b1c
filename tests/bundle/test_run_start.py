"""What a bundle does first, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from utad_monai.bundle import run as start
from utad_monai.bundle.configs import WrongValueError

CHECKS = ("print_expected_errors_plainly", "refuse_unknown_overrides", "refuse_wrong_values")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace every step but the seeding; give the names of those that ran."""
    ran: list[str] = []
    names = (*CHECKS, "keep_freed_memory", "hold_folder")
    for name in names:
        monkeypatch.setattr(start, name, lambda *_, name=name: ran.append(name))
    monkeypatch.setattr(start.parallel, "start", lambda: ran.append("processes"))
    return ran


def test_errors_are_plain_and_overrides_checked_before_the_folder_is_held(steps: list[str], tmp_path: Path) -> None:
    start.begin(tmp_path)
    assert steps == [*CHECKS, "keep_freed_memory", "hold_folder"]


@pytest.mark.usefixtures("steps")
def test_a_wrong_value_ends_in_one_line_and_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise WrongValueError("", "--max_epochs \x1b: needs a whole number from 1 on")

    monkeypatch.setattr(start, "refuse_wrong_values", refuse)
    with pytest.raises(SystemExit) as ended:
        start.check()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: --max_epochs \\x1b: needs a whole number from 1 on\n"


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
