"""The phantom cohort has the layout, contrasts and repeatability that the rest of the pipeline counts on."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from utad_monai.keys import Modality
from utad_monai.phantom import cohort as phantom
from utad_monai.phantom.anatomy import BOX_CENTRE_MM, box_shape, load_template
from utad_monai.phantom.cohort import (
    Acquisition,
    PhantomCase,
    default_dataset_dir,
    make_phantom_case,
    write_phantom_cohort,
)

SUFFIXES = ["flair", "t1", "t1ce", "t2", "seg"]
NECROSIS, OEDEMA, ENHANCING = 1, 2, 4


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def case() -> PhantomCase:
    return make_phantom_case(seed=0, index=1)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom_cohort(tmp_path_factory.mktemp("phantom") / "cohort", cases=1, progress=False)


def test_files_have_the_names_of_brats(cohort: Path) -> None:
    name = "BraTS20_Phantom_001"
    assert set(contents(cohort)) == {"README.txt", *(f"{name}/{name}_{suffix}.nii.gz" for suffix in SUFFIXES)}


def test_files_hold_the_case_and_its_geometry(cohort: Path, case: PhantomCase) -> None:
    for suffix in SUFFIXES:
        image = nib.load(cohort / "BraTS20_Phantom_001" / f"BraTS20_Phantom_001_{suffix}.nii.gz")
        expected = case.labels if suffix == "seg" else case.images[Modality(suffix)]
        stored = np.asarray(image.dataobj)
        assert image.get_data_dtype() == expected.dtype == (np.uint8 if suffix == "seg" else np.int16)
        np.testing.assert_array_equal(stored, expected)
        np.testing.assert_array_equal(image.get_sform(), case.affine)
        np.testing.assert_allclose(image.get_qform(), case.affine, atol=1e-5)
        assert image.header.get_xyzt_units()[0] == "mm"


def test_every_file_says_that_it_is_synthetic(cohort: Path) -> None:
    readme = (cohort / "README.txt").read_text()
    assert "never clinical evidence" in readme
    assert f"version {phantom.PHANTOM_VERSION}, seed 0, 2 mm" in readme
    for path in cohort.rglob("*.nii.gz"):
        assert b"synthetic" in nib.load(path).header["descrip"].item()


def test_voxels_are_in_lps_order(case: PhantomCase) -> None:
    assert nib.aff2axcodes(case.affine) == ("L", "P", "S")
    np.testing.assert_allclose(np.diag(case.affine), [-2, -2, 2, 1])


@pytest.mark.parametrize("axis", [1, 2])
def test_anatomy_is_where_the_affine_says(case: PhantomCase, axis: int) -> None:
    template = load_template()
    t1 = case.images[Modality.T1]
    voxels = np.argwhere(t1 > 0)[::10]
    world_mm = nib.affines.apply_affine(case.affine, voxels)
    mirrored_mm = world_mm.copy()
    mirrored_mm[:, axis] = 2 * BOX_CENTRE_MM[axis] - world_mm[:, axis]

    def likeness(points_mm: npt.NDArray[np.float64]) -> float:
        places = nib.affines.apply_affine(np.linalg.inv(template.affine), points_mm).astype(int)
        return float(np.corrcoef(t1[tuple(voxels.T)], template.white[tuple(places.T)])[0, 1])

    assert likeness(world_mm) > likeness(mirrored_mm) + 0.1


def test_labels_are_those_of_brats(case: PhantomCase) -> None:
    assert case.labels.dtype == np.uint8
    assert set(np.unique(case.labels)) == {0, NECROSIS, OEDEMA, ENHANCING}


def test_background_is_zero_in_the_same_voxels_of_every_modality(case: PhantomCase) -> None:
    brain = case.images[Modality.FLAIR] > 0
    assert 0.1 < brain.mean() < 0.4
    for image in case.images.values():
        assert image.dtype == np.int16
        assert image.min() == 0
        np.testing.assert_array_equal(image > 0, brain)
    assert brain[case.labels > 0].all()


def test_brain_without_signal_is_not_stored_as_background(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phantom, "ACQUISITION", Acquisition(noise=0))
    brain = np.zeros(box_shape(2.0), dtype=bool)
    brain[40:42, 50, 50] = True
    image = phantom._scan(np.array([0, 1], dtype=np.float32), brain, 2.0, np.random.default_rng(0))
    assert image[40, 50, 50] == 1
    assert image[41, 50, 50] > 100
    assert np.count_nonzero(image) == 2


def test_enhancing_tumour_is_bright_only_after_contrast(case: PhantomCase) -> None:
    healthy = (case.labels == 0) & (case.images[Modality.T1] > 0)
    before, after = (
        case.images[modality][case.labels == ENHANCING].mean() / np.median(case.images[modality][healthy])
        for modality in (Modality.T1, Modality.T1CE)
    )
    assert before < 1
    assert after > 1.25


def test_oedema_is_bright_on_flair_and_t2_but_not_on_t1(case: PhantomCase) -> None:
    healthy = (case.labels == 0) & (case.images[Modality.T1] > 0)
    ratio = {
        modality: image[case.labels == OEDEMA].mean() / np.median(image[healthy])
        for modality, image in case.images.items()
    }
    assert ratio[Modality.FLAIR] > 1.2
    assert ratio[Modality.T2] > 1.1
    assert ratio[Modality.T1] < 1


def test_csf_is_bright_on_t2_and_dark_on_flair(case: PhantomCase) -> None:
    t2, flair = case.images[Modality.T2], case.images[Modality.FLAIR]
    healthy = (case.labels == 0) & (t2 > 0)
    csf = healthy & (t2 > np.percentile(t2[healthy], 98))
    assert flair[csf].mean() < 0.5 * np.median(flair[healthy])


def test_intensity_units_differ_between_modalities_and_patients(case: PhantomCase) -> None:
    other = make_phantom_case(seed=0, index=2)
    means = [image[image > 0].mean() for each in (case, other) for image in each.images.values()]
    assert min(means) > 150
    assert max(means) < 1650
    assert max(means) > 1.5 * min(means)


def test_same_seed_gives_equal_bytes_and_smaller_cohorts_are_part_of_larger_ones(cohort: Path, tmp_path: Path) -> None:
    larger = contents(write_phantom_cohort(tmp_path / "larger", cases=2, progress=False))
    assert len(larger) == 11
    for name, content in contents(cohort).items():
        assert larger[name] == content


@pytest.mark.parametrize(("seed", "index"), [(1, 1), (0, 2)])
def test_another_seed_or_number_gives_another_patient(case: PhantomCase, seed: int, index: int) -> None:
    other = make_phantom_case(seed, index)
    assert not np.array_equal(other.labels, case.labels)
    assert not np.array_equal(other.images[Modality.T1] > 0, case.images[Modality.T1] > 0)


def test_complete_cases_are_kept_and_incomplete_ones_finished(tmp_path: Path, cohort: Path) -> None:
    for name, content in contents(cohort).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    kept = tmp_path / "BraTS20_Phantom_001" / "BraTS20_Phantom_001_t1.nii.gz"
    kept.write_bytes(b"already there")
    write_phantom_cohort(tmp_path, cases=1, progress=False)
    assert kept.read_bytes() == b"already there"
    kept.unlink()
    write_phantom_cohort(tmp_path, cases=1, progress=False)
    assert contents(tmp_path) == contents(cohort)


@pytest.mark.parametrize("options", [{"seed": 1}, {"spacing_mm": 1.0}, {"brain_size": 0.9}])
def test_two_phantoms_never_share_a_folder(cohort: Path, options: dict[str, Any]) -> None:
    before = contents(cohort)
    with pytest.raises(FileExistsError, match="something else"):
        write_phantom_cohort(cohort, cases=2, progress=False, **options)
    assert contents(cohort) == before


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "patient.nii.gz").write_bytes(b"real")
    with pytest.raises(FileExistsError, match="other files"):
        write_phantom_cohort(tmp_path, cases=1, progress=False)
    assert contents(tmp_path) == {"patient.nii.gz": b"real"}


@pytest.mark.parametrize(
    "options",
    [
        {"spacing_mm": 1.5},
        {"spacing_mm": 0},
        {"cases": 0},
        {"seed": -1},
        {"brain_size": 1.1},
        {"brain_size": float("nan")},
    ],
)
def test_impossible_requests_are_refused_before_anything_is_written(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        write_phantom_cohort(tmp_path / "new", progress=False, **options)
    assert not (tmp_path / "new").exists()


@pytest.fixture
def one_case_cohorts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    def write_one(folder: Path, **options: float) -> Path:
        assert options == {"cases": 24, "seed": 0, "spacing_mm": 2.0}
        return folder

    monkeypatch.setenv("UTAD_MONAI_HOME", str(tmp_path))
    monkeypatch.setattr(phantom, "write_phantom_cohort", write_one)
    return tmp_path / f"phantom-v{phantom.PHANTOM_VERSION}-24cases-2mm-seed0"


def test_default_cohort_is_announced_in_the_log_when_it_is_heard(
    one_case_cohorts: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO, logger=phantom.__name__):
        assert default_dataset_dir() == default_dataset_dir() == str(one_case_cohorts)
    assert [record.getMessage() for record in caplog.records] == [
        f"Using the synthetic phantom cohort (not clinical data) in {one_case_cohorts}"
    ]
    assert capsys.readouterr().err == ""


def test_default_cohort_is_announced_on_stderr_when_the_log_is_silent(
    one_case_cohorts: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.WARNING, logger=phantom.__name__):
        default_dataset_dir()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert str(one_case_cohorts) in captured.err
