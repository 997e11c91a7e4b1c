"""Splits are by patient, repeatable, kept in a file, and refused when the file does not fit."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utad_monai.data import BRATS_2023, Case, CohortError, keep_split, split_by_patient
from utad_monai.data.layouts.patient import patient_of
from utad_monai.data.split import SPLIT_FILE, folds_by_patient, read_split
from utad_monai.keys import Modality, Split


def cohort(patients: int, visits: int = 1) -> list[Case]:
    names = [f"BraTS-GLI-{patient:05d}-{visit:03d}" for patient in range(patients) for visit in range(visits)]
    images = {Modality.T1: Path("t1.nii"), Modality.T2: Path("t2.nii")}
    return [
        Case(name, patient_of(name), images=images, segmentation=Path("seg.nii"), layout=BRATS_2023) for name in names
    ]


def patients_of(split: dict[str, Split], wanted: Split) -> set[str]:
    return {patient_of(case_id) for case_id, part in split.items() if part is wanted}


def write_split(folder: Path, *rows: str) -> Path:
    path = folder / SPLIT_FILE
    path.write_text("\n".join(["case,split", *rows]) + "\n", encoding="utf-8")
    return path


@given(st.integers(3, 40), st.integers(1, 3), st.integers(0, 1000))
def test_visits_of_a_patient_are_never_torn(patients: int, visits: int, seed: int) -> None:
    cases = cohort(patients, visits)
    split = split_by_patient(cases, seed=seed)
    assert set(split) == {case.case_id for case in cases}
    parts = [patients_of(split, part) for part in Split]
    assert sum(len(part) for part in parts) == patients


@given(st.integers(3, 40), st.floats(0.01, 0.98), st.floats(0.01, 0.98))
def test_every_split_has_a_patient_when_there_are_three(patients: int, validation: float, test: float) -> None:
    total = max(1.0, (validation + test) * 1.01)
    split = split_by_patient(cohort(patients), validation / total, test / total)
    assert all(patients_of(split, part) for part in Split)


def test_shares_are_of_patients() -> None:
    split = split_by_patient(cohort(50, visits=2), 0.1, 0.2)
    assert [len(patients_of(split, part)) for part in (Split.TRAIN, Split.VALIDATION, Split.TEST)] == [35, 5, 10]


def test_default_shares_are_a_tenth_and_a_fifth() -> None:
    split = split_by_patient(cohort(100))
    assert [len(patients_of(split, part)) for part in (Split.VALIDATION, Split.TEST)] == [10, 20]


def test_fraction_zero_leaves_a_split_empty() -> None:
    split = split_by_patient(cohort(10), 0, 0)
    assert set(split.values()) == {Split.TRAIN}


@pytest.mark.parametrize(
    ("patients", "parts"), [(1, {Split.TRAIN}), (2, {Split.TRAIN, Split.VALIDATION}), (3, set(Split))]
)
def test_training_comes_first_in_tiny_cohorts(patients: int, parts: set[Split]) -> None:
    assert set(split_by_patient(cohort(patients)).values()) == parts


def test_same_seed_gives_the_same_split_in_any_order_of_cases() -> None:
    cases = cohort(30, visits=2)
    assert split_by_patient(cases, seed=3) == split_by_patient(cases[::-1], seed=3)


def test_another_seed_gives_another_split() -> None:
    assert split_by_patient(cohort(30), seed=0) != split_by_patient(cohort(30), seed=1)


def test_split_never_changes_between_versions() -> None:
    split = split_by_patient(cohort(6), seed=0)
    assert patients_of(split, Split.TEST) == {"BraTS-GLI-00003"}
    assert patients_of(split, Split.VALIDATION) == {"BraTS-GLI-00001"}


@pytest.mark.parametrize(("validation", "test"), [(0.5, 0.5), (0, 1), (-0.1, 0.2), (0.2, -0.1)])
def test_fractions_that_leave_no_training_are_refused(validation: float, test: float) -> None:
    with pytest.raises(ValueError, match="leave no training patients"):
        split_by_patient(cohort(10), validation, test)


def test_split_is_written_with_patients_and_modalities(tmp_path: Path) -> None:
    cases = cohort(5)
    split = keep_split(cases, tmp_path / "new" / "folder")
    table = pandas.read_csv(tmp_path / "new" / "folder" / SPLIT_FILE)
    assert list(table.columns) == ["case", "patient", "split", "modalities", "segmentation"]
    assert dict(zip(table["case"], table["split"], strict=True)) == {name: str(part) for name, part in split.items()}
    assert table["patient"].tolist() == [case.patient_id for case in cases]
    assert set(table["modalities"]) == {"t1 t2"}
    assert table["segmentation"].all()


def test_split_is_reused_from_the_file_whatever_the_parameters(tmp_path: Path) -> None:
    cases = cohort(20)
    split = keep_split(cases, tmp_path, seed=0)
    content = (tmp_path / SPLIT_FILE).read_bytes()
    assert keep_split(cases[::-1], tmp_path, 0.4, 0.4, seed=7) == split
    assert (tmp_path / SPLIT_FILE).read_bytes() == content


def test_users_may_bring_their_own_split(tmp_path: Path) -> None:
    cases = cohort(3)
    write_split(tmp_path, *[f"{case.case_id},train" for case in cases])
    assert set(keep_split(cases, tmp_path).values()) == {Split.TRAIN}


def test_split_may_hold_more_cases_than_are_looked_at(tmp_path: Path) -> None:
    cases = cohort(6)
    split = keep_split(cases, tmp_path)
    assert read_split(tmp_path / SPLIT_FILE, cases[:1]) == {cases[0].case_id: split[cases[0].case_id]}


def test_case_names_are_read_as_text(tmp_path: Path) -> None:
    case = Case("007", "007", images={Modality.T1: Path("t1.nii")}, segmentation=None, layout=BRATS_2023)
    assert read_split(write_split(tmp_path, "007,test"), [case]) == {"007": Split.TEST}


def refused(path: Path, cases: list[Case], reason: str) -> None:
    with pytest.raises(CohortError, match=reason) as refusal:
        read_split(path, cases)
    assert [problem.file for problem in refusal.value.problems] == [path]


def test_missing_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / SPLIT_FILE, cohort(1), "is missing")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'case,split\n"a,train\n'])
def test_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SPLIT_FILE).write_bytes(content)
    refused(tmp_path / SPLIT_FILE, cohort(1), "is not a table")


def test_table_without_the_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / SPLIT_FILE).write_text("name,part\na,train\n")
    refused(tmp_path / SPLIT_FILE, cohort(1), "has no columns case and split")


def test_split_of_another_cohort_is_refused_and_names_the_absent(tmp_path: Path) -> None:
    cases = cohort(3)
    path = write_split(tmp_path, f"{cases[0].case_id},train", f"{cases[1].case_id},test")
    refused(path, cases, f"another cohort: it lacks {cases[2].case_id}")


def test_unknown_split_name_is_refused_and_named(tmp_path: Path) -> None:
    cases = cohort(2)
    path = write_split(tmp_path, f"{cases[0].case_id},train", f"{cases[1].case_id},holdout")
    refused(path, cases, "unknown splits holdout; known are train, validation, test")


def test_patient_in_two_splits_is_refused(tmp_path: Path) -> None:
    first, second = cohort(1, visits=2)
    path = write_split(tmp_path, f"{first.case_id},train", f"{second.case_id},test")
    refused(path, [first, second], f"puts patient {first.patient_id} into two splits")


def test_case_in_two_splits_is_refused(tmp_path: Path) -> None:
    (case,) = cohort(1)
    path = write_split(tmp_path, f"{case.case_id},train", f"{case.case_id},test")
    refused(path, [case], f"lists {case.case_id} more than once")


@pytest.mark.parametrize(("patients", "folds"), [(23, 5), (5, 5), (3, 3), (2, 2), (1, 0)])
def test_folds_hold_every_case_once_and_never_tear_a_patient(patients: int, folds: int) -> None:
    cases = cohort(patients, visits=2)
    found = folds_by_patient(cases)
    assert len(found) == folds
    assert found == folds_by_patient(cases[::-1])
    for fold in found:
        assert sorted(fold["train"] + fold["val"]) == sorted(case.case_id for case in cases)
        assert not {patient_of(name) for name in fold["train"]} & {patient_of(name) for name in fold["val"]}
    assert sorted(name for fold in found for name in fold["val"]) == sorted(c.case_id for c in cases if found)
    if folds:
        sizes = [len(fold["val"]) for fold in found]
        assert max(sizes) - min(sizes) <= 2  # one patient of two visits
