"""A name tells who a case is of and when, and a table overrules it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from utad_monai.data import CohortError
from utad_monai.data.layouts.patient import (
    PATIENTS_FILE,
    joined_patients,
    patient_key,
    patient_of,
    read_patients,
    time_in,
    visit_of,
    write_patients,
)


@pytest.mark.parametrize(
    ("name", "patient", "time"),
    [
        ("BraTS-GLI-00005-000", "BraTS-GLI-00005", "000"),
        ("BraTS-GLI-00005-100", "BraTS-GLI-00005", "100"),
        ("BraTS-MEN-RT-0001-1", "BraTS-MEN-RT-0001", "1"),
        ("Brats18_2013_2_1", "Brats18_2013_2", "1"),
        ("Brats17_TCIA_101_2", "Brats17_TCIA_101", "2"),
        ("Brats18_CBICA_AAB_1", "Brats18_CBICA_AAB", "1"),
        ("BraTS19_TCIA01_131_2", "BraTS19_TCIA01_131", "2"),
        ("BraTS19_131_2", "BraTS19_131", "2"),
        ("UPENN-GBM-00001_21", "UPENN-GBM-00001", "21"),
        ("UCSF-PDGM-0004_FU001d", "UCSF-PDGM-0004", "FU001d"),
        ("UCSF-PDGM-0004_FU001d_nifti", "UCSF-PDGM-0004", "FU001d"),
        ("UCSF-PDGM-0004_nifti", "UCSF-PDGM-0004", ""),
        ("UCSD-PTGBM-0002_02", "UCSD-PTGBM-0002", "02"),
        ("RHUH-0001_2", "RHUH-0001", "2"),
        ("100118_time1", "100118", "time1"),
        ("PatientID_0003_Timepoint_1", "PatientID_0003", "Timepoint_1"),
        ("OAS2_0001_MR1", "OAS2_0001", "MR1"),
    ],
)
def test_published_names_tell_patient_and_visit(name: str, patient: str, time: str) -> None:
    assert visit_of(name) == (patient, time)


@pytest.mark.parametrize(
    ("name", "patient", "time"),
    [
        ("sub-01_ses-02", "sub-01", "ses-02"),
        ("sub-AB_ses-preop_acq-x", "sub-AB", "ses-preop"),
        ("sub-01_run-2", "sub-01", ""),
        ("sub-01_2019-03-01", "sub-01", "2019-03-01"),
        ("patient01_ses-1", "patient01", "ses-1"),
        ("Patient-001_week-000-1", "Patient-001", "week-000-1"),
        ("Patient-001/week-044", "Patient-001", "week-044"),
        ("P01_visit2", "P01", "visit2"),
        ("P01visit2", "P01", "visit2"),
        ("P01_tp01", "P01", "tp01"),
        ("anna_fu2", "anna", "fu2"),
        ("P01_followup", "P01", "followup"),
        ("P01-follow-up_2", "P01", "follow-up_2"),
        ("P01_baseline", "P01", "baseline"),
        ("P01_post-RT", "P01", "post-RT"),
        ("P01_preop", "P01", "preop"),
        ("01_before", "01", "before"),
        ("P01_v2", "P01", "v2"),
        ("P01_2019-03-01", "P01", "2019-03-01"),
        ("P01_20190301", "P01", "20190301"),
        ("P01_20190301_101500", "P01", "20190301_101500"),
        ("P01_01.03.2019", "P01", "01.03.2019"),
        ("anna_2019-03-01", "anna", "2019-03-01"),
        ("2019-03-01_P01", "P01", "2019-03-01"),
        ("visit1_001", "001", "visit1"),
        ("P01_ses-1_2019-03-01", "P01", "ses-1_2019-03-01"),
        ("BraTS-GLI-00005-100_2019-03-01", "BraTS-GLI-00005", "100_2019-03-01"),
    ],
)
def test_words_and_dates_tell_the_visit(name: str, patient: str, time: str) -> None:
    assert visit_of(name) == (patient, time)


@pytest.mark.parametrize(
    "name",
    [
        *("case_1", "P_001", "sub01_2", "tumour_7", "BraTS20_Training_001", "BraTS19_Training_001", "BraTS2021_00002"),
        *(
            "BraTS-GoAT-00001",
            "Brats18_2013_2",
            "BRATS_001",
            "sub-GBM_001",
            "TCGA-02-0003",
            "ReMIND-001",
            "GBM-001-002",
        ),
        *("GBM_2019-03-01", "case_20190301", "20190301_001", "2019-03-01", "case_visit1", "week-1", "P01_2019-03", "7"),
        *("GBM_v2", "Site_FU_001", "Center_TP_001", "P01_20191301", "12345678", "", "_", "-", "ses-", "visit"),
    ],
)
def test_what_tells_no_visit_is_a_patient_of_its_own(name: str) -> None:
    assert visit_of(name) == (name, "")


def test_a_cohort_of_running_numbers_keeps_its_patients() -> None:
    for form in ("case_{}", "P_{:03d}", "BraTS20_Training_{:03d}", "GBM_v{}", "tumor-{}", "Site_FU_{:03d}", "TP_{}"):
        assert len({patient_of(form.format(number)) for number in range(1, 30)}) == 29


@pytest.mark.parametrize(
    ("name", "time"),
    [
        *(("2019-03-01", "2019-03-01"), ("20190301_101010_T1", "2019-03-01"), ("t1_mprage_20190301", "2019-03-01")),
        *(("01-25-1998-MRI-BRAIN-1234", "01-25-1998"), ("ses-01", "ses-01"), ("sub-01_ses-01_T1w", "ses-01")),
        *(("week-000-1", "week-000-1"), ("Timepoint_2", "Timepoint_2"), ("preop", "preop"), ("followup", "followup")),
        *(("T1_POST", ""), ("post", ""), ("pre", ""), ("post-op T1", ""), ("T2_1", ""), ("301", ""), ("anat", "")),
        *(("SE000012", ""), ("20191301", ""), ("time_series", ""), ("DICOM", "")),
    ],
)
def test_a_name_inside_a_case_tells_a_time_point_unless_it_may_be_a_sequence(name: str, time: str) -> None:
    assert time_in(name) == time


@pytest.mark.parametrize(
    ("one", "other"), [("P01", "p01"), ("7", "007"), ("7", "7.0"), (" P01", "P01 "), ("Ä", "A\u0308"), ("0", "000")]
)
def test_spellings_of_one_patient_are_one(one: str, other: str) -> None:
    assert patient_key(one) == patient_key(other)


@pytest.mark.parametrize(("one", "other"), [("P1", "P01"), ("7", "70"), ("1.5", "15"), ("P01", "P02"), ("0", "")])
def test_other_patients_stay_others(one: str, other: str) -> None:
    assert patient_key(one) != patient_key(other)


def test_groups_and_spellings_join_patients_whatever_their_order() -> None:
    patients = {"a": "P1", "b": "p1", "c": "7", "d": "007", "e": "x", "f": "y"}
    assert joined_patients(patients) == {"a": "P1", "b": "P1", "c": "007", "d": "007", "e": "x", "f": "y"}
    groups = [("a", "c"), ("d", "e")]
    joined = joined_patients(patients, groups)
    assert joined == dict.fromkeys("abcde", "007") | {"f": "y"}
    assert joined == joined_patients(dict(reversed(patients.items())), [group[::-1] for group in reversed(groups)])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    patients = {"P01_visit2": "P01", "=1": "-x", "case": "007"}
    path = write_patients(tmp_path, patients)
    assert path.name == PATIENTS_FILE
    assert read_patients(path) == patients
    assert path.read_text().splitlines()[-1].startswith("case,007")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not a readable table"),
        ("case,person\na,b\n", "has no columns case and patient"),
        ("case,patient\na,p\na,q\n", "gives the case a two patients, p and q"),
        ("case,patient\na,b,c\nd\n,,,,,\n", "patients.csv"),
    ],
)
def test_a_table_that_says_nothing_plain_is_refused_in_one_line(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / PATIENTS_FILE
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CohortError, match="patients") as caught:
        read_patients(path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / PATIENTS_FILE
    path.write_text("case,patient\n", encoding="utf-8")
    os.truncate(path, 1 << 27)
    with pytest.raises(CohortError, match="too large"):
        read_patients(path)
