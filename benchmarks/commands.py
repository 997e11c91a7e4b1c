"""What a case, or a model, costs each command: time of one core, memory, disk; and what that makes for 100,000 cases.

python -m benchmarks.commands demo --cases 3 --rounds 5

Phantom cases of 240x240x155 voxels of 1 mm that lack T2, an untrained student, the default engine, one thread of torch.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.data import DEMO
from benchmarks.paired import figures_in, peak_megabytes, spread
from benchmarks.training_step import SIZES
from utad_monai.apps.check import check_cohort
from utad_monai.apps.complete import Completion, CompletionSettings, complete_cohort
from utad_monai.apps.package.writer import write_package
from utad_monai.data import Preprocessing, find_cases, prepare_slices
from utad_monai.data.intensity import intensity_profiles
from utad_monai.inferers import TranslationOptions
from utad_monai.keys import InferenceEngine, Modality
from utad_monai.models import TranslatorModel, save_translator
from utad_monai.networks import TumourAwareGenerator, student_from_teacher
from utad_monai.phantom.cohort import write_phantom_cohort
from utad_monai.transforms import IntensityWindow

MISSING, ONE_SOURCE = Modality.T2, Modality.FLAIR
PREPROCESSING = {"demo": DEMO, "paper": Preprocessing()}
COHORT_CASES, SHARDS = 100_000, 64


class Work(StrEnum):
    """What is measured, and of what the figures are."""

    CHECK = "check a case"
    ONE_SOURCE = "complete a case from one source"
    ALL_SOURCES = "complete a case from three sources with uncertainty"
    PACKAGE = "package a model"


def untrained_model(name: str, cohort: Path, path: Path) -> None:
    """Write a student that stores everything a trained one does."""
    torch.manual_seed(0)
    preprocessing = PREPROCESSING[name]
    store = prepare_slices(find_cases(cohort), preprocessing, path.with_suffix(""), progress=False)
    student = student_from_teacher(TumourAwareGenerator(SIZES[name].base_channels), "complete").eval()
    windows = dict.fromkeys(Modality, IntensityWindow(0.0, 1000.0))
    errors = {target: dict.fromkeys(set(Modality) - {target}, 0.1) for target in Modality}
    profiles = intensity_profiles(store, list(store.cases.values()))
    save_translator(
        path,
        TranslatorModel(
            student,
            preprocessing,
            target_windows=windows,
            source_errors=errors,
            intensity_profiles=profiles,
            training={"stage": "student"},
        ),
    )


def _check(folder: Path, _: Path) -> tuple[int, int]:
    report = check_cohort(folder / "cohort", workers=1)
    return len(report.cases), 0


def _package(folder: Path, output_dir: Path) -> tuple[int, int]:
    return 1, sum(write_package(folder / "model.safetensors", output_dir).sizes.values())


def _complete(sources: Sequence[Modality], folder: Path, output_dir: Path) -> tuple[int, int]:
    options = TranslationOptions(uncertainty=not sources, engine=InferenceEngine.AUTO)
    settings = CompletionSettings(targets=(MISSING,), sources=sources, options=options)
    done = complete_cohort(
        Completion(
            folder / "cohort", folder / "model.safetensors", output_dir=output_dir, settings=settings, progress=False
        )
    )
    volumes = [volume for result in done.results for volume in result.made]
    if len(volumes) != len(done.results):
        raise AssertionError(f"{len(done.results)} cases lack {MISSING}, but {len(volumes)} volumes were made")
    return len(volumes), sum(path.stat().st_size for path in output_dir.rglob("*.nii.gz"))


_RUN: Mapping[Work, Callable[[Path, Path], tuple[int, int]]] = {
    Work.CHECK: _check,
    Work.ONE_SOURCE: partial(_complete, (ONE_SOURCE,)),
    Work.ALL_SOURCES: partial(_complete, ()),
    Work.PACKAGE: _package,
}
"""What each work does in (inputs, output folder); it returns how many things it did, and the bytes that it wrote."""


def account(work: Work, folder: Path, output_dir: Path) -> dict[str, float]:
    """Do the work in this process; return what it took for one thing. The import of libraries is not counted."""
    torch.set_num_threads(1)
    begin = _core_seconds()
    number, written = _RUN[work](folder, output_dir)
    costs = {"core_seconds": (_core_seconds() - begin) / number, "peak_mb": peak_megabytes()}
    return costs | ({"mb_on_disk": written / 1e6 / number} if written else {})


def _core_seconds() -> float:
    """Return the processor time of this process and of those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def measure(name: str, cases: int, rounds: int, works: Sequence[Work] = tuple(Work)) -> dict[str, Any]:
    """Do works on a phantom cohort, in turn, each time in a process of its own."""
    costs: dict[Work, list[dict[str, float]]] = {work: [] for work in works}
    with tempfile.TemporaryDirectory() as folder:
        cohort = write_phantom_cohort(Path(folder) / "cohort", cases, spacing_mm=1.0, progress=False)
        untrained_model(name, cohort, Path(folder) / "model.safetensors")
        for path in cohort.glob(f"*/*_{MISSING}.nii.gz"):
            path.unlink()
        for turn in range(rounds):
            for work in works:
                command = [sys.executable, "-m", "benchmarks.commands", name, "--work", work, "--folder", folder]
                command += ["--output", str(Path(folder) / f"{work.name} {turn}")]
                run = subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8")
                costs[work].append(figures_in(run.stdout))
    medians = {
        work: {key: list(spread([one[key] for one in found])) for key in found[0]} for work, found in costs.items()
    }
    large = {work: of_a_large_cohort(medians[work]) for work in works if work in (Work.ONE_SOURCE, Work.ALL_SOURCES)}
    found = {str(work): {**medians[work], **large.get(work, {})} for work in works}
    return {"size": name, "cases": cases, "rounds": rounds, **found}


def of_a_large_cohort(costs: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return what the medians of a case make for a large cohort, completed in shards of one core.

    Args:
        costs: spreads of `core_seconds`, `peak_mb` and `mb_on_disk`, median first.
    """
    core_hours = costs["core_seconds"][0] * COHORT_CASES / 3600
    return {
        f"core_hours_of_{COHORT_CASES}_cases": core_hours,
        f"hours_in_{SHARDS}_shards": core_hours / SHARDS,
        f"gb_of_memory_of_{SHARDS}_shards": costs["peak_mb"][0] * SHARDS / 1024,
        f"tb_on_disk_of_{COHORT_CASES}_cases": costs["mb_on_disk"][0] * COHORT_CASES / 1e6,
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=PREPROCESSING)
    parser.add_argument("--cases", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--works", choices=[work.name for work in Work], nargs="+", default=[w.name for w in Work])
    parser.add_argument("--work", type=Work, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        result: dict[str, Any] = account(options.work, options.folder, options.output)
    else:
        result = measure(options.size, options.cases, options.rounds, [Work[name] for name in options.works])
    sys.stdout.write(json.dumps(result, indent=4) + "\n")


if __name__ == "__main__":
    main()
