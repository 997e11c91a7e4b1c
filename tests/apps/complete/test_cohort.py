"""A cohort completed: accounted for, resumed, isolated, handed on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import pandas
import pytest
import torch

from utad_monai.apps.complete import MANIFEST_FILE, Completion, CompletionSettings, complete_cohort, plan_completion
from utad_monai.apps.complete import cohort as module
from utad_monai.apps.complete.intensities import measure_cohort
from utad_monai.data import CohortError, Preprocessing, find_cases
from utad_monai.inferers import TranslationOptions
from utad_monai.keys import CompletionStatus, Modality
from utad_monai.models import CheckpointError

FLAIR, T1, T1CE, T2 = Modality


@pytest.fixture
def cohort(tmp_path: Path, write_case: Callable[..., Any]) -> Path:
    """Four cases: two lack one or two modalities, one has only T2, one lacks nothing."""
    root = tmp_path / "cohort"
    write_case(root, "a", [FLAIR, T1CE, T2], seed=1)
    write_case(root, "b", [FLAIR, T1CE], seed=2)
    write_case(root, "c", seed=3)
    write_case(root, "d", [T2], seed=4, segmentation=False)
    return root


@pytest.fixture
def completion(cohort: Path, student_file: Path, tmp_path: Path) -> Callable[..., Completion]:
    def _completion(folder: str = "out", dataset_dir: Path = cohort, **arguments: Any) -> Completion:
        return Completion(dataset_dir, student_file, output_dir=tmp_path / folder, progress=False, **arguments)

    return _completion


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_case_has_four_modalities_afterwards(completion: Any, cohort: Path) -> None:
    completed = complete_cohort(completion(tree="brats2020"))
    assert completed.flawless
    assert [result.status for result in completed.results] == ["done", "done", "skipped", "done"]
    assert completed.tree is not None
    cases = find_cases(completed.tree.folder)
    assert [(case.case_id, case.missing) for case in cases] == [("a", ()), ("b", ()), ("c", ()), ("d", ())]
    original = {case.case_id: case for case in find_cases(cohort)}
    for case in cases:
        affine = nibabel.load(next(iter(original[case.case_id].images.values()))).affine.tobytes()
        assert {nibabel.load(path).affine.tobytes() for path in case.images.values()} == {affine}
    assert [case.segmentation is None for case in cases] == [False, False, False, True]


def test_manifest_counts_every_case_once_and_names_real_files(completion: Any, tmp_path: Path) -> None:
    complete_cohort(completion())
    table = pandas.read_csv(tmp_path / "out" / MANIFEST_FILE, keep_default_na=False)
    assert list(table["case"]) == ["a", "b", "c", "d"]
    files = [name for names in table["files"] if names for name in names.split("; ")]
    assert len(files) == 6
    assert all((tmp_path / "out" / name).is_file() for name in files)


def test_repetition_keeps_everything_and_writes_the_same_bytes(completion: Any, tmp_path: Path) -> None:
    complete_cohort(completion(tree="nnunet"))
    before = content(tmp_path / "out")
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*_synthetic.nii.gz")}
    again = complete_cohort(completion(tree="nnunet"))
    assert content(tmp_path / "out") == before
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert [result.kept for result in again.results] == [True, True, False, True]


def test_several_workers_write_the_same_bytes(completion: Any, tmp_path: Path) -> None:
    complete_cohort(completion("one"))
    complete_cohort(completion("two", workers=2))
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_one_thread_computes_whatever_torch_is_set_to(completion: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    complete = module.CaseCompleter.complete

    def _watched(self: Any, case: Any) -> Any:
        used.append(torch.get_num_threads())
        return complete(self, case)

    monkeypatch.setattr(module.CaseCompleter, "complete", _watched)
    torch.set_num_threads(2)
    try:
        complete_cohort(completion())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert used == [1, 1, 1, 1]


def test_bad_case_costs_the_others_nothing(completion: Any, tmp_path: Path, cohort: Path) -> None:
    complete_cohort(completion("clean"))
    path = cohort / "b" / "b_flair.nii.gz"
    path.write_bytes(path.read_bytes()[:200])
    completed = complete_cohort(completion("damaged", tree="brats2020"))
    assert not completed.flawless
    assert completed.count(CompletionStatus.REFUSED) == 1
    clean, damaged = content(tmp_path / "clean" / "synthetic"), content(tmp_path / "damaged" / "synthetic")
    assert damaged == {name: data for name, data in clean.items() if not name.startswith("b/")}
    assert completed.tree is not None
    assert completed.tree.cases == ("a", "c", "d")


def test_files_that_are_no_case_are_refused_in_the_manifest(completion: Any, cohort: Path) -> None:
    shutil.copy(cohort / "a" / "a_t2.nii.gz", cohort / "a" / "a_t2.nii")
    completed = complete_cohort(completion())
    refused = [result for result in completed.results if result.status is CompletionStatus.REFUSED]
    assert [result.case_id for result in refused] == ["a"]
    assert "twice" in refused[0].reasons[0]
    assert len(completed.results) == 4


def test_originals_are_never_touched(completion: Any, cohort: Path) -> None:
    before = content(cohort)
    complete_cohort(completion(tree="msd", settings=CompletionSettings(targets=list(Modality), intensities="cohort")))
    assert content(cohort) == before


@pytest.mark.parametrize("inside", ["cohort/out", "cohort", "."])
def test_output_and_cohort_must_lie_apart(completion: Any, inside: str) -> None:
    with pytest.raises(CohortError, match="lie inside each other; choose an output folder beside the cohort"):
        complete_cohort(completion(inside))


def test_cohort_intensities_are_those_of_the_cohort(completion: Any, cohort: Path) -> None:
    completed = complete_cohort(completion(settings=CompletionSettings(intensities="cohort")))
    found = measure_cohort(find_cases(cohort), Preprocessing(), progress=False)[0][T1]
    (volume,) = completed.results[0].made
    assert volume.details["Settings"]["window"] == [found.lower, found.upper]


def test_what_a_killed_run_left_half_written_is_removed(completion: Any, tmp_path: Path) -> None:
    (tmp_path / "out" / "synthetic" / "a").mkdir(parents=True)
    (tmp_path / "out" / "synthetic" / "a" / ".partial-x-a_t1.nii.gz").write_bytes(b"half")
    complete_cohort(completion())
    assert not list((tmp_path / "out").rglob(".partial-*"))


def test_interruption_keeps_the_account(completion: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    complete = module.CaseCompleter.complete
    monkeypatch.setattr(
        module.CaseCompleter,
        "complete",
        lambda self, case: interrupted() if case.case_id == "b" else complete(self, case),
    )
    with pytest.raises(KeyboardInterrupt):
        complete_cohort(completion())
    assert list(pandas.read_csv(tmp_path / "out" / MANIFEST_FILE)["case"]) == ["a"]


def test_plan_says_what_would_be_done_and_writes_nothing(completion: Any, tmp_path: Path) -> None:
    plan = plan_completion(completion())
    assert "4 cases of 4 patients" in plan.cohort
    assert {name: [volume.target for volume in volumes] for name, volumes in plan.cases.items()} == {
        "a": [T1],
        "b": [T1, T2],
        "c": [],
        "d": [FLAIR, T1, T1CE],
    }
    assert plan.problems == ()
    assert not (tmp_path / "out").exists()
    complete_cohort(completion())
    assert all(volume.finished for volumes in plan_completion(completion()).cases.values() for volume in volumes)


def test_wrong_model_is_refused_before_anything_is_written(completion: Any, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"no model")
    with pytest.raises(CheckpointError):
        complete_cohort(replace(completion(), model=tmp_path / "model.safetensors"))
    assert not (tmp_path / "out").exists()


@pytest.mark.command_line
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system knows no SIGKILL")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_killed_and_repeated_it_gives_the_same_bytes(
    completion: Any, cohort: Path, student_file: Path, tmp_path: Path, workers: str
) -> None:
    for number in range(8):
        shutil.copytree(cohort / "b", cohort / f"e{number}")
        for path in (cohort / f"e{number}").iterdir():
            path.rename(path.with_name(path.name.replace("b_", f"e{number}_")))
    complete_cohort(completion("whole", tree="brats2023"))
    arguments = ["complete", str(cohort), "--model", str(student_file), "--output", str(tmp_path / "killed")]
    arguments += ["--layout", "brats2023", "--workers", workers]
    process = subprocess.Popen([sys.executable, "-m", "utad_monai", *arguments], stderr=subprocess.DEVNULL)
    finished = tmp_path / "killed" / "synthetic"
    while process.poll() is None and len(list(finished.rglob("[!.]*.json"))) < 3:
        time.sleep(0.02)
    process.kill()
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("[!.]*_synthetic.json")}
    assert len(before) >= 3
    complete_cohort(completion("killed", tree="brats2023", workers=int(workers)))
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
    assert os.listdir(tmp_path / "killed" / "brats2023")


@pytest.mark.parametrize("engine", ["openvino"])
def test_volume_of_another_engine_is_made_anew_and_named(completion: Any, engine: str) -> None:
    pytest.importorskip(engine)
    complete_cohort(completion())
    again = complete_cohort(completion(settings=CompletionSettings(options=TranslationOptions(engine=engine))))
    assert not any(result.kept for result in again.results)
    settings = [volume.details["Settings"] for result in again.results for volume in result.volumes]
    assert {described["engine"] for described in settings} == {engine}
