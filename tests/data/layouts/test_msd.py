"""MSD Task01: one 4-D file a case, in a known channel order, with labels of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from utad_monai.data import MSD_TASK01, CohortError, Preprocessing, find_cases, load_case, look_for_cases
from utad_monai.data.layouts.label_sets import BRATS_2023_LABELS
from utad_monai.keys import Modality

WriteCase = Callable[..., Path]
OFFICIAL = {
    "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
    "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
}


def write_task(root: Path, brats_case: Path, name: str = "BRATS_001", test: bool = False) -> None:
    """Store a BraTS case the MSD way."""
    part = "Ts" if test else "Tr"
    volumes = [nibabel.load(brats_case / f"{brats_case.name}_{m}.nii.gz") for m in ("flair", "t1", "t1ce", "t2")]
    content = np.stack([np.asarray(volume.dataobj) for volume in volumes], axis=-1)
    (root / f"images{part}").mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(content, volumes[0].affine), root / f"images{part}" / f"{name}.nii.gz")
    if not test:
        seg = nibabel.load(brats_case / f"{brats_case.name}_seg.nii.gz")
        labels = np.array([0, 2, 1, 0, 3], np.uint8)[np.asarray(seg.dataobj)]
        (root / "labelsTr").mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(labels, seg.affine), root / "labelsTr" / f"{name}.nii.gz")


@pytest.fixture
def brats_case(tmp_path: Path, write_case: WriteCase) -> Path:
    return write_case(tmp_path / "brats", "BraTS_001")


@pytest.fixture
def task(tmp_path: Path, brats_case: Path) -> Path:
    write_task(tmp_path / "Task01_BrainTumour", brats_case)
    return tmp_path / "Task01_BrainTumour"


def test_a_task_is_found(task: Path, brats_case: Path) -> None:
    write_task(task, brats_case, "BRATS_485", test=True)
    (task / "imagesTr" / "._BRATS_001.nii.gz").touch()
    train, test = find_cases(task)
    assert train.layout is MSD_TASK01
    assert dict(train.images) == dict.fromkeys(Modality, task / "imagesTr" / "BRATS_001.nii.gz")
    assert train.segmentation == task / "labelsTr" / "BRATS_001.nii.gz"
    assert (test.case_id, test.segmentation, test.missing) == ("BRATS_485", None, ())


def test_a_task_loads_as_the_same_case_in_brats_layout(
    task: Path, brats_case: Path, tiny_preprocessing: Preprocessing
) -> None:
    loaded = load_case(find_cases(task)[0], tiny_preprocessing)
    expected = load_case(find_cases(brats_case)[0], tiny_preprocessing)
    assert list(loaded.images) == list(Modality)
    for modality, image in loaded.images.items():
        assert torch.equal(image.as_tensor(), expected.images[modality].as_tensor())
        assert loaded.windows[modality] == expected.windows[modality]
    assert torch.equal(loaded.regions, expected.regions)
    assert loaded.warnings == ()


@pytest.mark.parametrize("content", [None, {}, {"modality": list(OFFICIAL["modality"].values())}, OFFICIAL])
def test_a_fitting_description_is_fine(task: Path, content: Any) -> None:
    if content is not None:
        (task / "dataset.json").write_text(json.dumps(content))
    assert len(find_cases(task)) == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"modality": {"0": "T1w", "1": "FLAIR", "2": "t1gd", "3": "T2w"}}, "channels of Task01|those of Task01"),
        ({"modality": {"0": "MRI"}}, "those of Task01 are FLAIR, T1w, T1gd, T2w"),
        ({"modality": {"0": "FLAIR", "1": "T1w", "2": "T1w", "3": "T2w"}}, "those of Task01"),
        ({"labels": {"0": "background", "1": "necrotic core", "2": "edema", "3": "enhancing"}}, "label 1 is"),
        ({"labels": {"1": "edema", "2": "non-enhancing", "3": "non-enhancing"}}, "label 3 is"),
        ([1, 2], "no JSON object"),
    ],
)
def test_a_description_that_contradicts_the_layout_is_refused(task: Path, content: Any, reason: str) -> None:
    (task / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(CohortError, match=reason) as refusal:
        find_cases(task)
    assert [problem.file for problem in refusal.value.problems] == [task / "dataset.json"]
    assert look_for_cases(task).cases == ()


NNUNET = {"channel_names": {"0": "FLAIR", "1": "T1", "2": "T1ce", "3": "T2"}}


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "edema": 1, "non-enhancing tumor": 2, "enhancing tumour": 3},
        {"background": 0, "ED": 1, "NCR": 2, "ET": 3, "resection cavity": 4},
        {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3]},
        {"background": 0, "whole_tumour": [1, 2, 3], "tumour_core": [2, 3], "enhancing_tumour": 3},
        {},
    ],
)
def test_a_description_of_nnunet_that_fits_is_fine(task: Path, labels: Any) -> None:
    (task / "dataset.json").write_text(json.dumps(NNUNET | {"labels": labels}))
    (case,) = find_cases(task)
    assert {value: label for value, label in case.labels.items() if label} == MSD_TASK01.labels
    assert case.labels.get(4, 0) == 0, "a cavity is no tumour"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"labels": {"background": 0, "NCR": 1, "ED": 2, "ET": 3}}, "label 1 is 'NCR'"),
        ({"labels": {"edema": 2, "enhancing": 1, "necrosis": 3}}, "label 1 is 'enhancing'"),
        ({"labels": {"whole": [1, 2, 3], "core": [1, 3], "enhancing": [3]}}, "label 1 is 'whole' and 'core'"),
        ({"labels": {"lesion": 1}}, "label 1 is 'lesion'"),
        ({"labels": {"edema": "one"}}, "labels that cannot be read"),
        ({"channel_names": {"0": "T1", "1": "T1ce", "2": "T2", "3": "FLAIR"}}, "channels are"),
    ],
)
def test_a_description_of_nnunet_that_contradicts_is_refused(task: Path, content: Any, reason: str) -> None:
    (task / "dataset.json").write_text(json.dumps(NNUNET | content))
    (problem,) = look_for_cases(task).problems
    assert reason in problem.text


def test_a_user_who_says_the_labels_is_heard_before_the_description(task: Path) -> None:
    (task / "dataset.json").write_text(json.dumps(NNUNET | {"labels": {"NCR": 1, "ED": 2, "ET": 3}}))
    (case,) = look_for_cases(task, label_set="brats2023").cases
    assert case.label_set is BRATS_2023_LABELS


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\udc80"], ids=["cut", "deep", "not text"])
def test_an_unreadable_description_is_refused(task: Path, text: str) -> None:
    (task / "dataset.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(CohortError, match=r"dataset\.json: cannot be read"):
        find_cases(task)


def test_an_enormous_description_is_not_read(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (task / "dataset.json").write_text("{}" + " " * 100)
    monkeypatch.setattr("utad_monai.data.layouts.msd._MAX_JSON_BYTES", 50)
    with pytest.raises(CohortError, match="too large"):
        find_cases(task)


def test_a_contradiction_leaves_other_layouts_alone(task: Path, brats_case: Path) -> None:
    (task / "dataset.json").write_text('{"modality": {"0": "CT"}}')
    found = look_for_cases(task.parent)
    assert [case.case_id for case in found.cases] == [brats_case.name]
    assert len(found.problems) == 1


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((24, 20, 12), r"has shape \(24, 20, 12\): a 4-D file is needed \(4 channels are"),
        ((24, 20, 12, 2), "has 2 channels"),
        ((24, 20, 12, 5), "has 5 channels"),
        ((24, 20, 12, 1, 4), r"a 4-D file is needed \(4 channels are"),
    ],
)
def test_another_number_of_channels_is_refused_once(
    task: Path, shape: tuple[int, ...], reason: str, tiny_preprocessing: Preprocessing
) -> None:
    nibabel.save(nibabel.Nifti1Image(np.ones(shape, np.int16), np.eye(4)), task / "imagesTr" / "BRATS_001.nii.gz")
    with pytest.raises(CohortError, match=reason) as refusal:
        load_case(find_cases(task)[0], tiny_preprocessing)
    assert len(refusal.value.problems) == 1


def test_a_problem_of_one_channel_names_it(task: Path, tiny_preprocessing: Preprocessing) -> None:
    path = task / "imagesTr" / "BRATS_001.nii.gz"
    image = nibabel.load(path)
    content = np.array(image.dataobj)
    content[..., 2] = 0
    nibabel.save(nibabel.Nifti1Image(content, image.affine), path)
    with pytest.raises(CohortError, match=r"channel 2 \(t1ce\) is all zero") as refusal:
        load_case(find_cases(task)[0], tiny_preprocessing)
    assert len(refusal.value.problems) == 1


def test_a_segmentation_on_another_grid_is_refused(task: Path, tiny_preprocessing: Preprocessing) -> None:
    path = task / "labelsTr" / "BRATS_001.nii.gz"
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj)[:-1], image.affine), path)
    with pytest.raises(CohortError, match=r"another shape .* than BRATS_001\.nii\.gz"):
        load_case(find_cases(task)[0], tiny_preprocessing)


def test_files_that_name_their_modality_are_not_4d(tmp_path: Path, write_case: WriteCase) -> None:
    write_case(tmp_path, "imagesTr")
    (case,) = find_cases(tmp_path)
    assert case.layout.name == "BraTS 2017-2021"
