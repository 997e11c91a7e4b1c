"""A cohort is found, split and prepared in one call, and reused afterwards."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import nibabel as nib
import numpy as np
import pytest

from utad_monai.data import CohortError, PreparedCohort, Preprocessing, SlicedCase, find_cases, prepare_cohort
from utad_monai.data.cohort import describe
from utad_monai.data.split import SPLIT_FILE
from utad_monai.keys import Modality, Split, TumourLabel

WriteCase = Callable[..., Path]


@pytest.fixture
def mixed(tmp_path: Path, write_case: WriteCase) -> Path:
    """Give a cohort of five patients: two complete, one without segmentation, one without t1ce, one of two visits."""
    root = tmp_path / "cohort"
    write_case(root, "Brats18_X_1_1", seed=1)
    write_case(root, "Brats18_X_2_1", seed=2)
    write_case(root, "Brats18_X_3_1", seed=3, segmentation=False)
    write_case(root, "Brats18_X_4_1", seed=4, modalities=[Modality.FLAIR, Modality.T1, Modality.T2])
    write_case(root, "Brats18_X_5_1", seed=5)
    write_case(root, "Brats18_X_5_2", seed=6)
    return root


def names(cases: list[SlicedCase]) -> list[str]:
    return [case.case_id for case in cases]


def all_to(part: Split, root: Path, output_dir: Path) -> None:
    output_dir.mkdir()
    rows = [f"{case.case_id},{part}" for case in find_cases(root)]
    (output_dir / SPLIT_FILE).write_text("\n".join(["case,split", *rows]))


def test_every_case_is_in_exactly_one_split(prepared_tiny_cohort: PreparedCohort) -> None:
    parts = [set(names(prepared_tiny_cohort.cases(part))) for part in Split]
    assert sum(len(part) for part in parts) == len(set.union(*parts)) == 6
    assert [len(part) for part in parts] == [4, 1, 1]


def test_split_may_be_given_by_name(prepared_tiny_cohort: PreparedCohort) -> None:
    assert prepared_tiny_cohort.cases("train") == prepared_tiny_cohort.cases(Split.TRAIN)
    with pytest.raises(ValueError, match="holdout"):
        prepared_tiny_cohort.cases("holdout")


def test_cases_are_filtered_by_what_they_have(mixed: Path, tmp_path: Path, tiny_preprocessing: Preprocessing) -> None:
    all_to(Split.TRAIN, mixed, tmp_path / "run")
    cohort = prepare_cohort(mixed, tmp_path / "run", tiny_preprocessing, workers=1, progress=False)
    every = [f"Brats18_X_{name}" for name in ("1_1", "2_1", "3_1", "4_1", "5_1", "5_2")]
    assert names(cohort.cases(Split.TRAIN)) == every
    assert names(cohort.cases(Split.TRAIN, with_segmentation=True)) == every[:2] + every[3:]
    assert names(cohort.complete_cases(Split.TRAIN)) == every[:2] + every[4:]
    assert cohort.cases(Split.TEST) == []


def test_visits_of_a_patient_stay_together(mixed: Path, tmp_path: Path, tiny_preprocessing: Preprocessing) -> None:
    for seed in range(4):
        output_dir = tmp_path / f"run{seed}"
        split = prepare_cohort(
            mixed, output_dir, tiny_preprocessing, 0.2, 0.4, seed=seed, workers=1, progress=False
        ).split
        assert split["Brats18_X_5_1"] is split["Brats18_X_5_2"]


def test_split_and_slices_of_an_earlier_run_are_reused(
    tiny_cohort: Path, tmp_path: Path, tiny_preprocessing: Preprocessing, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare_cohort(tiny_cohort, tmp_path, tiny_preprocessing, workers=1, progress=False)
    assert (tmp_path / SPLIT_FILE).is_file()
    assert len(list((tmp_path / "slices").iterdir())) == 6

    def fail(*_: object) -> None:
        raise AssertionError("a cached case was loaded again")

    monkeypatch.setattr("utad_monai.data.slice_store.load_case", fail)
    again = prepare_cohort(tiny_cohort, tmp_path, tiny_preprocessing, 0.4, 0.3, seed=9, workers=1, progress=False)
    assert again.split == first.split
    assert again.store.cases == first.store.cases


@pytest.fixture
def with_copy(tmp_path: Path, write_case: WriteCase) -> Path:
    """Give a cohort of five patients by name; the last one's T1 is the first one's T2, under a header of its own."""
    root = tmp_path / "cohort"
    for number in range(5):
        write_case(root, f"P{number}", seed=number + 1)
    image = nib.load(root / "P0" / "P0_t2.nii.gz")
    image.header["descrip"] = b"exported again"
    nib.save(image, root / "P4" / "P4_t1.nii.gz")
    return root


def test_cases_with_an_image_of_the_same_voxels_are_one_patient(
    with_copy: Path, tmp_path: Path, tiny_preprocessing: Preprocessing, caplog: pytest.LogCaptureFixture
) -> None:
    for seed in range(5):
        run = tmp_path / f"run{seed}"
        with caplog.at_level(logging.WARNING):
            cohort = prepare_cohort(with_copy, run, tiny_preprocessing, 0.2, 0.4, seed=seed, workers=1, progress=False)
        assert cohort.split["P0"] is cohort.split["P4"]
        assert {case_id: case.patient_id for case_id, case in cohort.store.cases.items()} == {
            **{f"P{number}": f"P{number}" for number in range(4)},
            "P4": "P0",
        }
        assert "P4,P0," in (run / SPLIT_FILE).read_text()
    assert "P0, P4 have images of the same voxels: taken for one patient, P0" in caplog.text


def test_a_split_that_tears_copies_is_refused_in_one_line(
    with_copy: Path, tmp_path: Path, tiny_preprocessing: Preprocessing
) -> None:
    all_to(Split.TRAIN, with_copy, tmp_path / "run")
    path = tmp_path / "run" / SPLIT_FILE
    path.write_text(path.read_text().replace("P4,train", "P4,test"))
    with pytest.raises(CohortError) as caught:
        prepare_cohort(with_copy, tmp_path / "run", tiny_preprocessing, workers=1, progress=False)
    assert "puts patient P0 into two splits (P0 is train, P4 is test)" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_slices_of_an_earlier_version_are_made_anew_so_that_copies_are_found(
    with_copy: Path, tmp_path: Path, tiny_preprocessing: Preprocessing
) -> None:
    options = {"workers": 1, "progress": False}
    first = prepare_cohort(with_copy, tmp_path / "run", tiny_preprocessing, **options)  # type: ignore[arg-type]
    for index in (tmp_path / "run" / "slices").glob("*/case.json"):
        content = json.loads(index.read_text())
        del content["digests"]
        index.write_text(json.dumps(content))
    again = prepare_cohort(with_copy, tmp_path / "run", tiny_preprocessing, **options)  # type: ignore[arg-type]
    assert again.store.cases == first.store.cases


def test_fractions_and_seed_reach_the_split(
    tiny_cohort: Path, tmp_path: Path, tiny_preprocessing: Preprocessing
) -> None:
    options = {"workers": 1, "progress": False}
    half = prepare_cohort(tiny_cohort, tmp_path / "a", tiny_preprocessing, 0.17, 0.5, **options)  # type: ignore[arg-type]
    assert [len(half.cases(part)) for part in Split] == [2, 1, 3]
    splits = {
        tuple(prepare_cohort(tiny_cohort, tmp_path / f"{seed}", tiny_preprocessing, seed=seed, **options).split.items())  # type: ignore[arg-type]
        for seed in range(3)
    }
    assert len(splits) > 1


def test_cohort_without_a_training_segmentation_is_refused(
    tmp_path: Path, write_case: WriteCase, tiny_preprocessing: Preprocessing
) -> None:
    write_case(tmp_path / "cohort", "A_1", segmentation=False)
    with pytest.raises(CohortError, match="leaves no training case with a segmentation"):
        prepare_cohort(tmp_path / "cohort", tmp_path / "run", tiny_preprocessing, workers=1, progress=False)


def test_split_without_training_is_refused(mixed: Path, tmp_path: Path, tiny_preprocessing: Preprocessing) -> None:
    all_to(Split.TEST, mixed, tmp_path / "run")
    with pytest.raises(CohortError, match="leaves no training case"):
        prepare_cohort(mixed, tmp_path / "run", tiny_preprocessing, workers=1, progress=False)


def test_bad_case_is_refused_with_its_name(mixed: Path, tmp_path: Path, tiny_preprocessing: Preprocessing) -> None:
    (mixed / "Brats18_X_4_1" / "Brats18_X_4_1_t1.nii.gz").write_bytes(b"")
    with pytest.raises(CohortError, match=r"case Brats18_X_4_1: .*Brats18_X_4_1_t1\.nii\.gz: is empty"):
        prepare_cohort(mixed, tmp_path / "run", tiny_preprocessing, workers=1, progress=False)


def test_dataset_folder_is_not_written_to(tiny_cohort: Path, tmp_path: Path, tiny_preprocessing: Preprocessing) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiny_cohort.rglob("*")}
    prepare_cohort(tiny_cohort, tmp_path, tiny_preprocessing, workers=1, progress=False)
    assert {path: path.stat().st_mtime_ns for path in tiny_cohort.rglob("*")} == before


def test_description_counts_cases_patients_and_modalities(mixed: Path) -> None:
    text = describe(find_cases(mixed), mixed)
    labels = "labels 1 necrotic, 2 oedema, 4 enhancing"
    assert text.startswith(f"{mixed}: BraTS 2017-2021 (flair, t1, t1ce, t2; {labels}), 6 cases of 5 patients")
    assert text.endswith("(flair 6, t1 6, t1ce 5, t2 6, seg 5)")


def test_description_is_logged(
    tiny_cohort: Path, tmp_path: Path, tiny_preprocessing: Preprocessing, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="utad_monai"):
        prepare_cohort(tiny_cohort, tmp_path, tiny_preprocessing, workers=1, progress=False)
    assert "6 cases of 6 patients" in caplog.text


def test_image_that_no_layout_takes_is_named_when_a_training_starts(
    tiny_cohort: Path, tmp_path: Path, tiny_preprocessing: Preprocessing, caplog: pytest.LogCaptureFixture
) -> None:
    cohort = Path(shutil.copytree(tiny_cohort, tmp_path / "cohort"))
    image = cohort / "BraTS_001" / "BraTS_001_t1ce.nii.gz"
    image.rename(image.with_name("BraTS_001_T1GD.nii.gz"))
    with caplog.at_level(logging.WARNING):
        prepare_cohort(cohort, tmp_path / "out", tiny_preprocessing, progress=False)
    assert any("BraTS_001_T1GD.nii.gz" in message for message in caplog.messages)


def test_checkpoints_are_chosen_on_validation_cases(prepared_tiny_cohort: PreparedCohort) -> None:
    assert prepared_tiny_cohort.cases_to_score() == prepared_tiny_cohort.cases("validation") != []
    assert prepared_tiny_cohort.reference_cases().cases == prepared_tiny_cohort.cases("train")


def test_checkpoints_are_chosen_on_training_cases_where_no_validation_case_has_a_segmentation(
    mixed: Path, tmp_path: Path, tiny_preprocessing: Preprocessing, caplog: pytest.LogCaptureFixture
) -> None:
    all_to(Split.TRAIN, mixed, tmp_path / "run")
    table = tmp_path / "run" / SPLIT_FILE
    table.write_text(table.read_text().replace("Brats18_X_3_1,train", "Brats18_X_3_1,validation"))
    cohort = prepare_cohort(mixed, tmp_path / "run", tiny_preprocessing, workers=1, progress=False)
    assert names(cohort.cases("validation")) == ["Brats18_X_3_1"]
    with caplog.at_level(logging.WARNING):
        assert cohort.cases_to_score() == cohort.cases("train", with_segmentation=True) != []
    assert "no validation case has a segmentation: checkpoints are chosen on training cases" in caplog.messages


def test_what_is_said_of_labels_is_kept_for_later_stages(
    tiny_cohort: Path, tmp_path: Path, tiny_preprocessing: Preprocessing
) -> None:
    """Read as BraTS-PED, the enhancing 4 of the tiny cohort is oedema; the report asks nobody again."""
    arguments = (tiny_cohort, tmp_path, tiny_preprocessing)
    said = prepare_cohort(*arguments, workers=1, progress=False, label_set="brats-ped")
    again = prepare_cohort(*arguments, workers=1, progress=False)
    assert (tmp_path / "label_set.json").is_file()
    for cohort in (said, again):
        labels = cohort.store.labels(sorted(cohort.store.cases)[0])
        assert TumourLabel.OEDEMA in labels
        assert cohort.store.cases == said.store.cases
    assert prepare_cohort(tiny_cohort, tmp_path / "b", tiny_preprocessing, workers=1, progress=False).store.cases != (
        said.store.cases
    )


def test_labels_that_nobody_can_tell_stop_a_training_in_one_line(
    tmp_path: Path, write_case: Callable[..., Path], tiny_preprocessing: Preprocessing
) -> None:
    rows = ["case,t1,seg"]
    for number in range(4):
        folder = write_case(tmp_path / "cohort", f"p{number}", [Modality.T1], seed=number)
        path = folder / f"p{number}_seg.nii.gz"
        image = nibabel.load(path)
        array = np.asarray(image.dataobj)
        nibabel.save(nibabel.Nifti1Image(np.where(array == 1, 0, array), image.affine), path)
        rows.append(f"c{number},p{number}/p{number}_t1.nii.gz,p{number}/p{number}_seg.nii.gz")
    (tmp_path / "cohort" / "cohort.csv").write_text("\n".join(rows))
    arguments = (tmp_path / "cohort", tmp_path / "run", tiny_preprocessing)
    with pytest.raises(CohortError, match=r"brats2024 \(2 oedema, 4 cavity\).*label_set.json") as error:
        prepare_cohort(*arguments, workers=1, progress=False)
    assert len(str(error.value).splitlines()) == 1
    assert len(prepare_cohort(*arguments, workers=1, progress=False, label_set="brats2020").store.cases) == 4
