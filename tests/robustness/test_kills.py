"""`complete` under kills, signals, a full disk, a foreign folder and a second run. Longer with `make soak`."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest

from benchmarks.kills import Job, digests, kill_until_done, run_whole, survivors
from benchmarks.soak import completion_job
from utad_monai.apps.complete import MANIFEST_FILE
from utad_monai.keys import Modality
from utad_monai.runtime.folder_lock import locked_folder

pytestmark = pytest.mark.command_line

CASES = 8


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, write_case: Callable[..., Any], student_file: Path) -> Job:
    """Give the completion of cases that all lack two modalities, by two workers."""
    cohort = tmp_path_factory.mktemp("kills") / "cohort"
    for seed in range(CASES):
        write_case(cohort, f"case{seed}", [Modality.FLAIR, Modality.T1CE], seed=seed, shape=(48, 40, 24))
    return completion_job(cohort, student_file, workers=2)


def run(job: Job, output: Path, prepare: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        job.command(output), capture_output=True, encoding="utf-8", preexec_fn=prepare, timeout=120, check=False
    )


def errors(finished: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in finished.stderr.splitlines() if "rror" in line or "Traceback" in line]


def test_killed_again_and_again_it_loses_nothing(job: Job, tmp_path: Path) -> None:
    seconds = run_whole(job, tmp_path / "whole")
    signals = [signal.SIGKILL, signal.SIGTERM]
    report = kill_until_done(job, tmp_path / "killed", tmp_path / "whole", signals, seconds / 2, random.Random(5))
    assert report.problems == []
    assert report.bytes_lost == 0
    assert digests(tmp_path / "killed", job.compared).keys() == digests(tmp_path / "whole", job.compared).keys()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_ends_it_in_order_with_an_account_of_what_is_done(
    job: Job, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    output = tmp_path / "out"
    process = subprocess.Popen(job.command(output), stderr=subprocess.PIPE, encoding="utf-8", start_new_session=True)
    while process.poll() is None and not list((output / "synthetic").rglob("[!.]*.json")):
        time.sleep(0.01)
    process.send_signal(number)
    _, text = process.communicate(timeout=60)
    assert process.returncode == code, text
    assert f"interrupted by {number.name}: what is finished is kept; run the same command again to go on" in text
    assert "Traceback" not in text
    assert len(pandas.read_csv(output / MANIFEST_FILE)) < CASES
    assert not [path for path in output.rglob(".*") if path.is_file()]
    assert survivors(process.pid) == []


def test_full_disk_ends_it_in_one_line_and_leaves_no_half_file(job: Job, tmp_path: Path) -> None:
    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))  # less than a volume

    output = tmp_path / "out"
    finished = run(job, output, no_room)
    assert finished.returncode == 1, finished.stderr
    (line,) = errors(finished)
    assert line.startswith(f"error: {output}")
    assert line.endswith("cannot be written (File too large); free space, or choose another output folder")
    assert not list(output.rglob("*.nii.gz"))
    assert not list(output.rglob(".partial-*"))


def test_folder_that_may_not_be_written_is_refused_before_any_work(job: Job, tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.write_text("a file")
    finished = run(job, output)
    assert finished.returncode == 1
    (line,) = errors(finished)
    assert line.startswith(f"error: {output}: cannot be written (")
    assert "Completing" not in finished.stderr
    assert output.read_text() == "a file"


def test_second_run_on_a_folder_is_refused_and_changes_nothing(job: Job, tmp_path: Path) -> None:
    with locked_folder(tmp_path / "out"):
        before = sorted(tmp_path.rglob("*"))
        finished = run(job, tmp_path / "out")
        assert sorted(tmp_path.rglob("*")) == before
    assert finished.returncode == 1
    (line,) = errors(finished)
    assert line.startswith(f"error: {tmp_path / 'out'}: is in use by process {os.getpid()} on ")


@pytest.mark.parametrize("damage", ["lost", "another", "stray"])
def test_harness_sees_what_must_not_be(tmp_path: Path, damage: str) -> None:
    program = {
        "lost": "if killed: (out / 'a').unlink(missing_ok=True)",
        "another": "if killed: (out / 'a').write_text('half')",
        "stray": "if killed: (out / '.partial-1-a').touch()",
    }[damage]
    script = (
        "import sys, time; from pathlib import Path\n"
        "out = Path(sys.argv[1]); killed = (out / '.killed').exists(); out.mkdir(exist_ok=True)\n"
        "(out / 'a').write_text('whole'); (out / '.killed').touch()\n"
        f"{program}\n"
        "(out / '.utad-monai.lock').touch(); time.sleep(0 if killed or sys.argv[1].endswith('whole') else 60)\n"
        "(out / '.utad-monai.lock').unlink()\n"
    )
    job = Job("bad", lambda output: [sys.executable, "-c", script, str(output)])
    run_whole(job, tmp_path / "whole")
    report = kill_until_done(job, tmp_path / "bad", tmp_path / "whole", [signal.SIGKILL], 0.1, random.Random(0))
    assert report.kills == {"SIGKILL": 1}
    assert len(report.problems) == 1
    assert (report.bytes_lost > 0) == (damage != "stray")
