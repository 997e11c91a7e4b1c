"""Cases are checked as a whole, brought onto one grid and sliced; every problem is reported at once."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.transforms import Compose, RandFlipd
from nibabel.orientations import aff2axcodes, axcodes2ornt, io_orientation, ornt_transform

from utad_monai.data import (
    BRATS_2023,
    Case,
    CohortError,
    Finding,
    Preprocessing,
    find_cases,
    load_case,
    slice_case,
)
from utad_monai.data.case_volumes import case_dictionary
from utad_monai.keys import Modality, ModalitySet
from utad_monai.transforms import BACKGROUND, LabelsToTumourRegions, NormaliseBraind

WriteCase = Callable[..., Path]
CASE_ID = "BraTS_000"


@pytest.fixture
def folder(tmp_path: Path, write_case: WriteCase) -> Path:
    """Give the folder of one sound case."""
    return write_case(tmp_path, CASE_ID)


def path_of(folder: Path, name: str) -> Path:
    return folder / f"{folder.name}_{name}.nii.gz"


def rewrite(folder: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    """Change the voxels of one file."""
    path = path_of(folder, name)
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(change(np.asarray(image.dataobj)), image.affine), path)
    return path


def move(folder: Path, name: str, change: np.ndarray) -> Path:
    """Change the affine of one file."""
    path = path_of(folder, name)
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine @ change), path)
    return path


def the_case(folder: Path) -> Case:
    (case,) = find_cases(folder.parent)
    return case


def problems_of(folder: Path, preprocessing: Preprocessing) -> tuple[Finding, ...]:
    with pytest.raises(CohortError) as refusal:
        load_case(the_case(folder), preprocessing)
    return refusal.value.problems


def test_sound_case_is_loaded_silently(folder: Path, tiny_preprocessing: Preprocessing) -> None:
    loaded = load_case(the_case(folder), tiny_preprocessing)
    assert loaded.warnings == ()
    assert list(loaded.images) == list(Modality)
    for modality, image in loaded.images.items():
        voxels = np.asarray(nibabel.load(path_of(folder, modality)).dataobj)
        assert image.shape == (1, *voxels.shape)
        assert torch.equal(image.as_tensor()[0] > BACKGROUND, torch.from_numpy(voxels != 0))
        assert loaded.windows[modality].lower >= voxels[voxels > 0].min()
        assert loaded.windows[modality].upper <= voxels.max()


def test_regions_are_those_of_the_segmentation(folder: Path, tiny_preprocessing: Preprocessing) -> None:
    labels = torch.from_numpy(np.asarray(nibabel.load(path_of(folder, "seg")).dataobj).astype(np.int16))
    assert labels.unique().tolist() == [0, 1, 2, 4]
    regions = load_case(the_case(folder), tiny_preprocessing).regions
    assert regions is not None
    torch.testing.assert_close(regions[0], (labels > 0).float())
    torch.testing.assert_close(regions[1], ((labels == 1) | (labels == 4)).float())
    torch.testing.assert_close(regions[2], (labels == 4).float())


def test_enhancing_label_follows_the_layout(
    tmp_path: Path, folder: Path, write_case: WriteCase, tiny_preprocessing: Preprocessing
) -> None:
    new = write_case(tmp_path / "new", "BraTS-GLI-00001-000", layout=BRATS_2023)
    loaded = load_case(the_case(new), tiny_preprocessing)
    old = load_case(find_cases(folder)[0], tiny_preprocessing)
    assert loaded.regions is not None
    assert old.regions is not None
    assert torch.equal(loaded.regions, old.regions)
    for modality in Modality:
        assert torch.equal(loaded.images[modality].as_tensor(), old.images[modality].as_tensor())


def test_case_without_segmentation_is_loaded(
    tmp_path: Path, write_case: WriteCase, tiny_preprocessing: Preprocessing
) -> None:
    folder = write_case(tmp_path, CASE_ID, segmentation=False, modalities=[Modality.T2])
    loaded = load_case(the_case(folder), tiny_preprocessing)
    assert loaded.regions is None
    assert loaded.warnings == ()
    assert slice_case(loaded, tiny_preprocessing).labels is None


def test_empty_segmentation_is_a_warning(
    tmp_path: Path, write_case: WriteCase, tiny_preprocessing: Preprocessing
) -> None:
    folder = write_case(tmp_path, CASE_ID, tumour=False)
    loaded = load_case(the_case(folder), tiny_preprocessing)
    assert loaded.regions is not None
    assert loaded.regions.max() == 0
    (warning,) = loaded.warnings
    assert warning.startswith(f"{path_of(folder, 'seg')}: is empty")


def test_doubtful_file_is_named_in_the_warning(folder: Path, tiny_preprocessing: Preprocessing) -> None:
    path = rewrite(folder, "t2", lambda voxels: voxels[..., None])
    (warning,) = load_case(the_case(folder), tiny_preprocessing).warnings
    assert warning.startswith(f"{path}: is stored 4-D")


def test_brain_larger_than_the_frame_is_a_warning(folder: Path) -> None:
    small = Preprocessing(frame_size_mm=(20, 36), image_size=(32, 32))
    (warning,) = load_case(the_case(folder), small).warnings
    assert "larger than the frame" in warning


SCALED = np.diag([1, 1, 1.5, 1])
SHIFTED = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
MIRRORED = np.diag([-1, 1, 1, 1])


@pytest.mark.parametrize("name", ["t1ce", "seg"])
@pytest.mark.parametrize(
    ("change", "reason"),
    [(SCALED, "another voxel spacing"), (SHIFTED, "another affine"), (MIRRORED, "another affine")],
    ids=["spacing", "origin", "left-right flip"],
)
def test_other_geometry_is_refused_and_names_case_file_and_reason(
    folder: Path, tiny_preprocessing: Preprocessing, name: str, change: np.ndarray, reason: str
) -> None:
    path = move(folder, name, change)
    (problem,) = problems_of(folder, tiny_preprocessing)
    assert (problem.case_id, problem.file) == (CASE_ID, path)
    assert reason in problem.text
    assert f"{CASE_ID}_flair.nii.gz" in problem.text


def test_other_shape_is_refused_and_names_both_shapes(folder: Path, tiny_preprocessing: Preprocessing) -> None:
    path = rewrite(folder, "t1ce", lambda voxels: voxels[:, :, :-1])
    (problem,) = problems_of(folder, tiny_preprocessing)
    assert (problem.case_id, problem.file) == (CASE_ID, path)
    assert "24x20x11 voxels, not 24x20x12" in problem.text


def test_tiny_jitter_of_the_affine_is_accepted(folder: Path, tiny_preprocessing: Preprocessing) -> None:
    jitter = np.eye(4)
    jitter[0, 3] = 1e-3
    move(folder, "t1ce", jitter)
    assert load_case(the_case(folder), tiny_preprocessing).warnings == ()


@pytest.mark.parametrize("codes", ["RAS", "RPS", "SAL", "AIR"])
@pytest.mark.parametrize("name", ["flair", "t1ce", "seg"])
def test_file_in_another_voxel_order_comes_out_aligned(
    folder: Path, tiny_preprocessing: Preprocessing, name: str, codes: str
) -> None:
    expected = load_case(the_case(folder), tiny_preprocessing)
    image = nibabel.load(path_of(folder, name))
    stored = image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt(codes)))
    assert "".join(aff2axcodes(stored.affine)) == codes
    nibabel.save(stored, path_of(folder, name))
    loaded = load_case(the_case(folder), tiny_preprocessing)
    for modality in Modality:
        assert torch.equal(loaded.images[modality].as_tensor(), expected.images[modality].as_tensor())
    assert expected.regions is not None
    assert loaded.regions is not None
    assert torch.equal(loaded.regions, expected.regions)
    assert loaded.placement == expected.placement


def test_unknown_labels_are_refused_with_case_file_and_value(folder: Path, tiny_preprocessing: Preprocessing) -> None:
    path = rewrite(folder, "seg", lambda labels: np.where(labels == 4, 3, labels).astype(np.uint8))
    (problem,) = problems_of(folder, tiny_preprocessing)
    assert (problem.case_id, problem.file) == (CASE_ID, path)
    assert "unknown label values 3" in problem.text


def test_segmentation_of_whole_floats_is_accepted(folder: Path, tiny_preprocessing: Preprocessing) -> None:
    expected = load_case(the_case(folder), tiny_preprocessing).regions
    rewrite(folder, "seg", lambda labels: labels.astype(np.float32))
    regions = load_case(the_case(folder), tiny_preprocessing).regions
    assert regions is not None
    assert expected is not None
    assert torch.equal(regions, expected)


@pytest.mark.parametrize(
    ("change", "reason"), [(np.zeros_like, "all zero"), (lambda v: (v > 0).astype(np.int16), "constant")]
)
def test_image_without_contrast_is_refused(
    folder: Path, tiny_preprocessing: Preprocessing, change: Callable[[np.ndarray], np.ndarray], reason: str
) -> None:
    path = rewrite(folder, "t2", change)
    (problem,) = problems_of(folder, tiny_preprocessing)
    assert (problem.case_id, problem.file) == (CASE_ID, path)
    assert reason in problem.text


def test_all_problems_of_a_case_are_reported_at_once(folder: Path, tiny_preprocessing: Preprocessing) -> None:
    path_of(folder, "flair").write_bytes(b"")
    move(folder, "t1ce", SHIFTED)
    rewrite(folder, "t2", np.zeros_like)
    rewrite(folder, "seg", lambda labels: labels + 5)
    problems = {problem.file.name: problem.text for problem in problems_of(folder, tiny_preprocessing)}
    assert {name.removeprefix(f"{CASE_ID}_"): reason.split()[:2] for name, reason in problems.items()} == {
        "flair.nii.gz": ["is", "empty"],
        "t1ce.nii.gz": ["has", "another"],
        "t2.nii.gz": ["is", "all"],
        "seg.nii.gz": ["has", "unknown"],
    }
    assert "than BraTS_000_t1.nii.gz" in problems[f"{CASE_ID}_t1ce.nii.gz"]


def test_case_of_bad_files_alone_reports_each(folder: Path, tiny_preprocessing: Preprocessing) -> None:
    case = the_case(folder)
    for path in case.files:
        path.unlink()
    with pytest.raises(CohortError) as refusal:
        load_case(case, tiny_preprocessing)
    assert [problem.file for problem in refusal.value.problems] == list(case.files)
    assert all("missing" in problem.text for problem in refusal.value.problems)


def test_slices_hold_the_brain_from_first_to_last(folder: Path, tiny_preprocessing: Preprocessing) -> None:
    loaded = load_case(the_case(folder), tiny_preprocessing)
    slices = slice_case(loaded, tiny_preprocessing)
    occupied = loaded.brain.flatten(0, 1).any(dim=0).nonzero().flatten()
    assert slices.first_slice == occupied[0]
    assert slices.labels is not None
    for image in slices.images.values():
        assert image.shape == (len(occupied), 32, 32)
        assert image.dtype == torch.float32
        assert image.min() == BACKGROUND
    assert slices.labels.shape == (len(occupied), 32, 32)
    assert slices.labels.dtype == torch.uint8
    assert set(slices.labels.unique().tolist()) == {0, 1, 2, 3}


def test_slices_are_the_volume_when_pixels_are_voxels(folder: Path) -> None:
    preprocessing = Preprocessing(frame_size_mm=(48, 48), image_size=(32, 32))
    loaded = load_case(the_case(folder), preprocessing)
    slices = slice_case(loaded, preprocessing)
    rows, columns = loaded.placement.start
    last = slices.first_slice + len(slices.images[Modality.T1])
    inside = (slice(None), slice(-rows, -rows + 20), slice(-columns, -columns + 24))
    for modality, image in slices.images.items():
        volume = loaded.images[modality].as_tensor()[0, ..., slices.first_slice : last].permute(2, 1, 0)
        torch.testing.assert_close(image[inside], volume, rtol=0, atol=1e-6)
    assert slices.labels is not None
    assert loaded.regions is not None
    regions = loaded.regions[..., slices.first_slice : last].permute(0, 3, 2, 1)
    assert torch.equal(LabelsToTumourRegions()(slices.labels[None])[(slice(None), *inside)], regions)


def test_lists_of_json_make_the_same_object_as_tuples() -> None:
    preprocessing = Preprocessing((36, 40), (32, 48), lower_percentile=1, upper_percentile=99)
    copy = Preprocessing(**json.loads(json.dumps(preprocessing.description())))
    assert copy == preprocessing
    assert hash(copy) == hash(preprocessing)
    assert copy.frame_size_mm == (36.0, 40.0)
    assert (copy.frame.size_mm, copy.frame.image_size) == ((36.0, 40.0), (32, 48))
    assert (copy.normalise.lower_percentile, copy.normalise.upper_percentile) == (1, 99)


@pytest.mark.parametrize(
    "sizes",
    [
        {"image_size": (100, 128)},
        {"image_size": (16, 32)},
        {"image_size": (0, 16)},
        {"image_size": (-16, 16)},
        {"frame_size_mm": (0, 1)},
    ],
)
def test_impossible_sizes_are_refused(sizes: dict[str, tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        Preprocessing(**sizes)  # type: ignore[arg-type]


@pytest.mark.real_data
def test_real_case_is_loaded(real_dataset_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    preprocessing = Preprocessing()
    case = find_cases(real_dataset_dir)[0]
    with caplog.at_level(logging.WARNING):
        loaded = load_case(case, preprocessing)
    slices = slice_case(loaded, preprocessing)
    assert loaded.warnings == ()
    assert list(slices.images) == list(Modality)
    assert slices.labels is not None
    assert int((slices.labels > 0).sum()) > 1000
    for image in slices.images.values():
        assert image.shape == slices.labels.shape
        assert image.shape[1:] == (128, 128)
        assert 0.1 < (image > BACKGROUND).float().mean() < 0.6
        assert (image.min(), image.max()) == (BACKGROUND, 1)


def test_only_other_modalities_than_the_four_are_said() -> None:
    assert "modalities" not in Preprocessing().description()
    other = Preprocessing(modalities=ModalitySet(["t1", "t2", "pd"]))
    assert other.description() == Preprocessing().description() | {"modalities": ["t1", "t2", "pd"]}
    assert Preprocessing.from_description(json.loads(json.dumps(other.description()))) == other != Preprocessing()
    assert Preprocessing.of(other.transforms) == other


def test_chain_of_transforms_gives_its_parameters() -> None:
    made = Preprocessing((200.0, 180.0), (96, 80), lower_percentile=1.0, upper_percentile=98.0)
    assert Preprocessing.of(made.transforms) == made


@pytest.mark.parametrize("change", ["missing", "added", "other order", "other keys"])
def test_chain_that_models_could_not_repeat_is_refused(change: str) -> None:
    steps = list(Preprocessing().transforms.transforms)
    if change == "missing":
        steps = [one for one in steps if type(one).__name__ != "ZeroBackgroundd"]
    elif change == "added":
        steps.insert(5, RandFlipd(tuple(Modality)))
    elif change == "other order":
        steps[3], steps[5] = steps[5], steps[3]
    else:
        steps[5] = NormaliseBraind((Modality.T1,), allow_missing_keys=True)
    with pytest.raises(ValueError, match="models repeat LoadNiftid, ZeroBackgroundd"):
        Preprocessing.of(Compose(steps))


def test_slices_are_what_the_whole_chain_makes_of_the_files(
    tiny_cohort: Path, tiny_preprocessing: Preprocessing
) -> None:
    case = find_cases(tiny_cohort)[0]
    chained = tiny_preprocessing.transforms(case_dictionary(case))
    slices = slice_case(load_case(case, tiny_preprocessing), tiny_preprocessing)
    assert slices.first_slice == chained["first_slice"]
    assert slices.labels is not None
    assert torch.equal(slices.labels, chained["seg"])
    for modality, image in slices.images.items():
        assert torch.equal(image, chained[modality])
