"""Kill long commands at random moments until they are done all the same, and compare with an uninterrupted run.

    python -m benchmarks.soak --kills 24 --seed 0

The exit code is 1 when a byte was lost, a file was left behind or a process survived.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.kills import Job, Report, is_held, kill_until_done, run_whole
from transforms import IntensityWindow
from utad_monai.checkpoints import Translator, save_translator
from utad_monai.data import Preprocessing
from utad_monai.data.phantom import write_phantom_cohort
from utad_monai.keys import Modality
from utad_monai.networks import TumourAwareGenerator, student_from_teacher

KILLS_A_TRIAL = 3


def completion_job(cohort: Path, model: Path, workers: int = 1, layout: str = "brats2023") -> Job:
    """Return `utad-monai complete` as a job; what it has written is final, but for its lists.

    Args:
        cohort: a cohort that lacks something.
        model: a student.
        workers: processes side by side.
        layout: the tree that is written last.
    """

    def command(output: Path) -> Sequence[str]:
        options = ["--model", str(model), "--output", str(output), "--workers", str(workers), "--layout", layout]
        return [sys.executable, "-m", "utad_monai", "complete", str(cohort), *options]

    return Job(f"complete, {workers} workers", command, is_held, kept=("synthetic/**/*",))


def soak(job: Job, folder: Path, kills: int, draw: random.Random) -> Report:
    """Kill a job that many times, a few times a trial, and return everything that happened.

    Args:
        job: the job.
        folder: an empty folder for its outputs.
        kills: how many at least.
        draw: chooses moments and signals.
    """
    whole = Report(seconds=run_whole(job, folder / "whole"))
    seconds, total = whole.seconds, Counter[str]()
    whole.seconds, trial = 0.0, 0
    while total.total() < kills and trial < kills:
        signals = [draw.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT)) for _ in range(KILLS_A_TRIAL)]
        found = kill_until_done(job, folder / f"trial{trial}", folder / "whole", signals, seconds, draw)
        total.update(found.kills)
        whole.problems += [f"trial {trial}: {problem}" for problem in found.problems]
        whole.bytes_lost += found.bytes_lost
        whole.seconds += found.seconds
        trial += 1
    whole.kills = dict(total)
    return whole


def phantom_jobs(folder: Path) -> list[Job]:
    """Return jobs on a phantom cohort that lacks two modalities, with an untrained student.

    Args:
        folder: receives cohort and model.
    """
    cohort = write_phantom_cohort(folder / "cohort", 3, progress=False)
    for path in [*cohort.glob("*/*_t1.nii.gz"), *cohort.glob("*/*_t2.nii.gz")]:
        path.unlink()
    torch.manual_seed(0)
    student = student_from_teacher(TumourAwareGenerator(8), "complete").eval()
    windows = {modality: IntensityWindow(0.0, 1000.0) for modality in Modality}
    preprocessing = Preprocessing((200.0, 160.0), (80, 64))
    save_translator(folder / "model.pt", Translator(student, preprocessing, windows))
    return [completion_job(cohort, folder / "model.pt", workers) for workers in (1, 2)]


def main() -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=24, help="of each job")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as name:
        for place, job in enumerate(phantom_jobs(Path(name))):
            (Path(name) / str(place)).mkdir()
            report = soak(job, Path(name) / str(place), options.kills, random.Random(f"{options.seed}-{place}"))
            kills = ", ".join(f"{count} {signal_name}" for signal_name, count in sorted(report.kills.items()))
            print(f"{job.name}: {sum(report.kills.values())} kills ({kills}), {report.bytes_lost} bytes lost,")
            print(f"    {len(report.problems)} problems, {report.seconds:.0f} s")
            for problem in report.problems:
                print(f"    {problem}")
            failed = failed or bool(report.problems)
    return failed


if __name__ == "__main__":
    sys.exit(main())
