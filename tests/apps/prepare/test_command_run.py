"""A cohort is prepared case by case; a bad one never costs the others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas
import pytest

from utad_monai.apps.prepare import command as run
from utad_monai.apps.prepare.command import TABLE_FILE, prepare_raw_cohort, raw_cases
from utad_monai.apps.prepare.outcome import Outcome, PreparationStatus
from utad_monai.apps.prepare.raw_cases import RawCase
from utad_monai.apps.prepare.settings import BrainMaskMethod, GridKind, PreparationSettings
from utad_monai.data import find_cases
from utad_monai.data.quality.finding import CohortError
from utad_monai.keys import Modality

SETTINGS = PreparationSettings(grid=GridKind.REFERENCE, brain_mask=BrainMaskMethod.OWN)


@pytest.fixture
def raw_dir(tmp_path: Path, stripped_head: Any) -> Path:
    """Give a folder with two sound cases of one image each, and a damaged one between them."""
    import SimpleITK as sitk  # noqa: N813

    for name in ("a", "b", "c"):
        (tmp_path / "raw" / name).mkdir(parents=True)
        sitk.WriteImage(stripped_head.images[Modality.T1], str(tmp_path / "raw" / name / "t1.nii.gz"))
    path = tmp_path / "raw" / "b" / "t1.nii.gz"
    path.write_bytes(path.read_bytes()[:-50])
    return tmp_path / "raw"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_bad_case_does_not_change_the_others(raw_dir: Path, tmp_path: Path) -> None:
    originals = content(raw_dir)
    outcomes = prepare_raw_cohort(raw_dir, tmp_path / "out", SETTINGS, workers=1, progress=False)
    assert [(one.case, str(one.status)) for one in outcomes] == [("a", "done"), ("b", "refused"), ("c", "done")]
    table = pandas.read_csv(tmp_path / "out" / TABLE_FILE)
    assert list(table["status"]) == ["done", "refused", "done"]
    assert "t1.nii.gz" in table["reason"][1]
    assert content(raw_dir) == originals
    shutil.rmtree(raw_dir / "b")
    prepare_raw_cohort(raw_dir, tmp_path / "clean", SETTINGS, workers=1, progress=False)
    clean = {name: data for name, data in content(tmp_path / "clean").items() if name != TABLE_FILE}
    assert {name: data for name, data in content(tmp_path / "out").items() if name != TABLE_FILE} == clean


def test_visits_of_a_patient_are_written_and_read_again(raw_dir: Path, tmp_path: Path) -> None:
    for old, new in {"a": "BraTS-GLI-00005-100", "b": "P1_x", "c": "BraTS-GLI-00005-101"}.items():
        (raw_dir / old).rename(raw_dir / new)
    prepare_raw_cohort(raw_dir, tmp_path / "out", SETTINGS, workers=1, progress=False)
    assert {case.patient_id for case in find_cases(tmp_path / "out")} == {"BraTS-GLI-00005"}
    table = pandas.read_csv(tmp_path / "out" / TABLE_FILE, dtype=str, keep_default_na=False)
    assert list(table.columns[-2:]) == ["patient", "visit"]
    assert list(table["patient"]) == ["BraTS-GLI-00005", "BraTS-GLI-00005", "P1_x"]
    assert list(table["visit"]) == ["100", "101", ""]


def test_a_given_patient_reaches_the_output_and_earlier_cases_keep_theirs(raw_dir: Path, tmp_path: Path) -> None:
    for case in ("a", "c"):
        (raw_dir / f"{case}.csv").write_text(f"case,t1,patient\n{case},{case}/t1.nii.gz,Z\n")
        prepare_raw_cohort(raw_dir / f"{case}.csv", tmp_path / "out", SETTINGS, workers=1, progress=False)
    assert {case.case_id: case.patient_id for case in find_cases(tmp_path / "out")} == {"a": "Z", "c": "Z"}


def test_a_rerun_changes_nothing_and_reuses_all(raw_dir: Path, tmp_path: Path) -> None:
    prepare_raw_cohort(raw_dir, tmp_path / "out", SETTINGS, workers=1, progress=False)
    before = content(tmp_path / "out")
    again = prepare_raw_cohort(raw_dir, tmp_path / "out", SETTINGS, workers=1, progress=False)
    assert [one.reused for one in again] == [True, False, True]
    assert content(tmp_path / "out") == before


@pytest.mark.command_line
def test_processes_side_by_side_give_the_same_bytes(raw_dir: Path, tmp_path: Path) -> None:
    prepare_raw_cohort(raw_dir, tmp_path / "one", SETTINGS, workers=1, progress=False)
    prepare_raw_cohort(raw_dir, tmp_path / "two", SETTINGS, workers=2, progress=False)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def dying(case: RawCase, output_dir: Path, settings: PreparationSettings) -> Outcome:
    """Stand in for the preparation; the process of case b is killed, as the system does when memory is short."""
    del output_dir, settings
    if case.case_id == "b":
        os._exit(9)
    return Outcome(case.case_id, PreparationStatus.DONE)


@pytest.mark.command_line
def test_a_process_that_dies_costs_its_own_case_alone(
    raw_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    @contextmanager
    def forked(workers: int, *_: object) -> Iterator[ProcessPoolExecutor]:
        with ProcessPoolExecutor(workers, get_context("fork")) as pool:  # knows this test's functions
            yield pool

    monkeypatch.setattr(run, "worker_pool", forked)
    monkeypatch.setattr(run, "prepare_and_write", dying)
    monkeypatch.setattr(Outcome, "row", lambda self: {"case": self.case, "status": str(self.status)})
    outcomes = prepare_raw_cohort(raw_dir, tmp_path / "out", SETTINGS, workers=2, progress=False)
    assert [str(one.status) for one in outcomes] == ["done", "refused", "done"]
    assert "out of memory" in str(outcomes[1].problems[0])


def test_outputs_and_raw_images_never_share_a_folder(raw_dir: Path, tmp_path: Path) -> None:
    for output in (raw_dir, raw_dir / "out", tmp_path):
        with pytest.raises(CohortError, match="originals stay untouched"):
            prepare_raw_cohort(raw_dir, output, SETTINGS, progress=False)


def test_a_program_that_is_not_installed_stops_before_anything_is_done(
    raw_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CohortError, match="no hd-bet on the PATH"):
        prepare_raw_cohort(raw_dir, tmp_path / "out", PreparationSettings(brain_mask=BrainMaskMethod.HD_BET))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["A", "a"], "duplicate case name"),
        (["preparation"], "kept for reports"),
        (["../x"], "characters that files cannot have"),
        (["a\x07"], "characters that files cannot have"),
        ([" "], "empty or hidden case name"),
        ([".x"], "empty or hidden case name"),
    ],
)
def test_names_that_cannot_be_folders_are_problems(tmp_path: Path, names: list[str], reason: str) -> None:
    (tmp_path / "t1.nii.gz").write_bytes(b"x")
    rows = "".join(f'"{name}",t1.nii.gz\n' for name in names)
    (tmp_path / "cases.csv").write_text(f"case,t1\n{rows}")
    cases = raw_cases(tmp_path / "cases.csv")
    assert all(reason in str(case.problems[0]) for case in cases)


def test_a_table_may_have_its_output_beside_it(tmp_path: Path, stripped_head: Any) -> None:
    import SimpleITK as sitk  # noqa: N813

    sitk.WriteImage(stripped_head.images[Modality.T1], str(tmp_path / "x.mha"))
    (tmp_path / "cases.csv").write_text("case,t1\np1,x.mha\n")
    (one,) = prepare_raw_cohort(tmp_path / "cases.csv", tmp_path / "out", SETTINGS, workers=0, progress=False)
    assert one.problems == ()
    assert (tmp_path / "out" / "p1" / "p1_t1.nii.gz").is_file()


def test_progress_goes_to_the_bar(
    raw_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utad_monai.runtime.progress.SECONDS_BETWEEN_LINES", 1e-9)
    prepare_raw_cohort(raw_dir, tmp_path / "out", SETTINGS, workers=1)
    assert "Preparing" in capsys.readouterr().err
