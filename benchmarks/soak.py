"""Kill long commands at random moments until they are done all the same, and compare with an uninterrupted run.

    python -m benchmarks.soak --kills 24 --seed 0

The exit code is 1 when a byte was lost, a file was left behind or a process survived.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.kills import Job, Report, kill_until_done, run_whole
from utad_monai.bundle.configs import bundles_dir
from utad_monai.data import Preprocessing
from utad_monai.keys import Modality
from utad_monai.models import TranslatorModel, save_translator
from utad_monai.models.stages import HEALTH_FILE, HISTORY_FILE, MODEL_FILE, Stage
from utad_monai.networks import TumourAwareGenerator, student_from_teacher
from utad_monai.phantom.cohort import write_phantom_cohort
from utad_monai.transforms import IntensityWindow

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

    return Job(f"complete, {workers} workers", command, kept=("synthetic/**/*",))


def training_job(stage: Stage, cohort: Path, loader_workers: int = 0, teacher: Path | None = None) -> Job:
    """Return the training of a stage as a job: weights, course and health must be equal to the last bit.

    Args:
        stage: teacher, student or segmentation.
        cohort: where to train.
        loader_workers: processes of the data loader.
        teacher: output folder of a trained teacher, for the student.
    """
    size = {"frame_size_mm": "[200,160]", "image_size": "[80,64]", "base_channels": 4, "critic_channels": 4}
    course = {"max_epochs": 4, "samples_per_epoch": 64, "batch_size": 4, "decay_epochs": 2, "critic_steps": 3}
    more = {"critic_layers": 4, "average_decay": 0.9, "flip": True} if stage is Stage.TEACHER else {}
    unet = {"unet_channels": "[4,8]", "unet_strides": "[2]", "max_epochs": 4}
    options = {
        Stage.TEACHER: size | course | more,
        Stage.STUDENT: course | {"average_decay": 0.9, "flip": True},
        Stage.SEGMENTATION: {name: size[name] for name in ("frame_size_mm", "image_size")} | unet,
    }[stage]
    options |= {"num_workers": loader_workers, "resume_minutes": 0.01, "dataset_dir": cohort}

    def command(output: Path) -> Sequence[str]:
        if teacher is not None and not (output / Stage.TEACHER).exists():
            shutil.copytree(teacher / Stage.TEACHER, output / Stage.TEACHER)
        config = ["--config_file", str(bundles_dir() / f"{stage}.json"), "--output_dir", str(output)]
        given = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        return [sys.executable, "-m", "monai.bundle", "run", "training", *config, *given]

    compared = [f"{stage}/{name}" for name in (MODEL_FILE, HISTORY_FILE, HEALTH_FILE, "samples/*.png")]
    return Job(f"{stage}, {loader_workers} loader processes", command, held=stage, compared=compared)


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
    save_translator(folder / "model.safetensors", TranslatorModel(student, preprocessing, target_windows=windows))
    return [completion_job(cohort, folder / "model.safetensors", workers) for workers in (1, 2)]


def training_jobs(folder: Path) -> list[Job]:
    """Return trainings of all stages on a phantom cohort, the student's after that of a teacher.

    Args:
        folder: receives the cohort and the teacher.
    """
    cohort = write_phantom_cohort(folder / "training", 4, progress=False)
    teacher = training_job(Stage.TEACHER, cohort)
    run_whole(teacher, folder / "teacher")
    students = [training_job(Stage.STUDENT, cohort, workers, folder / "teacher") for workers in (0, 2)]
    return [teacher, training_job(Stage.TEACHER, cohort, 2), *students, training_job(Stage.SEGMENTATION, cohort)]


def main() -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=24, help="of each job")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as name:
        for place, job in enumerate(phantom_jobs(Path(name)) + training_jobs(Path(name))):
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
