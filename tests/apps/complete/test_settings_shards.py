"""Shares of a cohort: even, side by side, and in the end one account with the bytes of a run of everything."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from utad_monai.apps.complete import (
    MANIFEST_FILE,
    CaseResult,
    Completion,
    Shard,
    ShardError,
    VolumeResult,
    chosen_shard,
    complete_cohort,
    merge_shards,
)
from utad_monai.apps.complete.settings import PARTS_FOLDER
from utad_monai.inferers import TranslationOptions
from utad_monai.keys import CompletionStatus, Modality
from utad_monai.runtime.folder_lock import FolderInUseError, locked_folder

FLAIR, T1, T1CE, T2 = Modality


@pytest.fixture
def completion(tmp_path: Path, write_case: Callable[..., Any], student_file: Path) -> Callable[..., Completion]:
    for number, name in enumerate("abc"):
        write_case(tmp_path / "cohort", name, [FLAIR, T1CE, T2], seed=number)
    return lambda folder="out", **arguments: Completion(
        tmp_path / "cohort", student_file, output_dir=tmp_path / folder, progress=False, tree="brats2020", **arguments
    )


def content(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file but those that belong to the run itself."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and PARTS_FOLDER not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_are_even_and_cover_everything_once(count: int) -> None:
    shares = [Shard(number, count).of(range(20)) for number in range(count)]
    assert sorted(item for share in shares for item in share) == list(range(20))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(
    ("text", "environment", "expected"),
    [
        ("", {}, None),
        ("1/4", {"RANK": "0", "WORLD_SIZE": "2"}, Shard(1, 4)),
        ("", {"RANK": "1", "WORLD_SIZE": "2"}, Shard(1, 2)),
        ("slurm", {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4"}, Shard(3, 4)),
        (
            "slurm",
            {"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "1"}
            | {"SLURM_ARRAY_TASK_STEP": "2"},
            Shard(2, 4),
        ),
        ("", {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4"}, None),
    ],
)
def test_share_is_what_is_asked_or_what_torchrun_gives(
    text: str, environment: dict[str, str], expected: Shard | None
) -> None:
    assert chosen_shard(text, environment) == expected


@pytest.mark.parametrize("text", ["4/4", "1", "-1/2", "a/b", "1/2/3", "slurm", "0/0"])
def test_senseless_share_is_refused(text: str) -> None:
    with pytest.raises(ShardError):
        chosen_shard(text, {})


def test_a_result_survives_a_file() -> None:
    volume = VolumeResult(T1, CompletionStatus.DONE, sources=("flair",), file="a.nii.gz", details={"x": [1]}, kept=True)
    result = CaseResult("a", (volume,), reason="why", warnings=("odd",), problems=("bad",))
    assert CaseResult.from_json(result.as_json()) == result


def test_last_of_several_shards_writes_what_one_run_writes(completion: Any, tmp_path: Path) -> None:
    complete_cohort(completion("whole"))
    first = complete_cohort(completion(shard=Shard(1, 2)))
    assert [result.case_id for result in first.results] == ["b"]
    assert "2 cases are not completed yet (a, c)" in first.waits
    assert not (tmp_path / "out" / MANIFEST_FILE).exists()
    last = complete_cohort(completion(shard=Shard(0, 2)))
    assert [result.case_id for result in last.results] == ["a", "b", "c"]
    assert not last.waits
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_cases_of_a_dead_shard_are_picked_up_by_a_run_of_everything(completion: Any, tmp_path: Path) -> None:
    complete_cohort(completion("whole"))
    complete_cohort(completion(shard=Shard(0, 2)))
    with pytest.raises(ShardError, match=r"1 cases are not completed yet \(b\)"):
        merge_shards(completion())
    rest = complete_cohort(completion())
    assert [result.kept for result in rest.results] == [True, False, True]
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert not (tmp_path / "out" / PARTS_FOLDER).exists()


def test_accounts_of_other_settings_do_not_count(completion: Any) -> None:
    complete_cohort(completion(shard=Shard(0, 1)))
    with pytest.raises(ShardError, match="3 cases"):
        merge_shards(
            replace(completion(), settings=replace(completion().settings, options=TranslationOptions(flips=True)))
        )


def test_nobody_merges_while_a_shard_is_at_work(completion: Any, tmp_path: Path) -> None:
    hold = "import sys, time; from utad_monai.runtime.folder_lock import locked_folder\n"
    hold += "with locked_folder(sys.argv[1], shared=True): print('held', flush=True); time.sleep(60)"
    arguments = [sys.executable, "-c", hold, str(tmp_path / "out")]
    other = subprocess.Popen(arguments, stdout=subprocess.PIPE, encoding="utf-8")
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert "is in use" in complete_cohort(completion(shard=Shard(0, 1))).waits
        with pytest.raises(FolderInUseError), locked_folder(tmp_path / "out"):
            pass
    finally:
        other.kill()
        other.wait()
    assert not merge_shards(completion()).waits


@pytest.mark.command_line
def test_two_processes_side_by_side_write_what_one_writes(completion: Any, tmp_path: Path, student_file: Path) -> None:
    complete_cohort(completion("whole"))
    command = [sys.executable, "-m", "utad_monai", "complete", str(tmp_path / "cohort"), "--model", str(student_file)]
    command += ["--output", str(tmp_path / "out"), "--layout", "brats2020", "--shard"]
    both = [subprocess.Popen([*command, f"{number}/2"], stderr=subprocess.DEVNULL) for number in range(2)]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    assert content(tmp_path / "out") == content(tmp_path / "whole")


@pytest.mark.command_line
def test_processes_of_torchrun_take_their_shares_unasked(completion: Any, tmp_path: Path, student_file: Path) -> None:
    complete_cohort(completion("whole"))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "utad_monai", "complete"]
    places = [str(tmp_path / "cohort"), "--model", str(student_file), "--output", str(tmp_path / "out")]
    command = [sys.executable, *launcher, *places, "--layout", "brats2020"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    assert content(tmp_path / "out") == content(tmp_path / "whole")
