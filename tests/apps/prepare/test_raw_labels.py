"""A prepared segmentation keeps what the raw file means, and says so beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from utad_monai.apps.prepare.case_input import read_case
from utad_monai.apps.prepare.command import describe_raw_cases, prepare_raw_cohort, raw_cases
from utad_monai.apps.prepare.geometry import array_of, image_of
from utad_monai.apps.prepare.raw_labels import written_label_set, written_values
from utad_monai.apps.prepare.report import fingerprint
from utad_monai.apps.prepare.settings import BrainMaskMethod, GridKind, PreparationSettings
from utad_monai.data import look_for_cases
from utad_monai.data.layouts.label_sets import BRATS_PED_LABELS, LABEL_SETS, label_set_of

AFFINE = np.diag([-2.0, -2, 2, 1])
CAVITY = {1: 4, 2: 2, 3: 0}


def shells(mapping: Mapping[int, float]) -> Any:
    """Return core, rim and oedema as cubes in cubes, with the values of a mapping."""
    labels = np.zeros((20, 20, 20), np.float32)
    for label, margin in ((2, 3), (3, 6), (1, 8)):
        labels[(slice(margin, 20 - margin),) * 3] = mapping.get(label, 0)
    return labels


@pytest.fixture
def raw(tmp_path: Path) -> Callable[..., Path]:
    """Write raw cases with a T1 and a segmentation each; return their folder."""

    def _write(cases: Mapping[str, Mapping[int, float]], name: str = "{case}/seg.nii.gz") -> Path:
        for case, mapping in cases.items():
            (tmp_path / "raw" / case).mkdir(parents=True)
            image = np.zeros((20, 20, 20), np.float32)
            image[1:-1, 1:-1, 1:-1] = np.random.default_rng(1).uniform(1, 100, (18, 18, 18))
            sitk.WriteImage(image_of(image, AFFINE), str(tmp_path / "raw" / case / "t1.nii.gz"))
            path = tmp_path / "raw" / name.format(case=case)
            sitk.WriteImage(image_of(shells(mapping), AFFINE), str(path))
        return tmp_path / "raw"

    return _write


def written(folder: Path, label_set: str = "") -> list[int]:
    (case, *_) = raw_cases(folder, label_set)
    segmentation = read_case(case).segmentation
    assert segmentation is not None
    return [int(value) for value in np.unique(array_of(segmentation[1]))]


@pytest.mark.parametrize(
    ("mapping", "label_set", "values"),
    [
        ({1: 1, 2: 2, 3: 4}, "", [0, 1, 2, 4]),
        ({1: 1, 2: 2, 3: 3}, "", [0, 1, 2, 4]),
        ({1: 2, 2: 1, 3: 3}, "msd", [0, 1, 2, 4]),
        (CAVITY, "brats2024", [0, 2, 4]),
        ({1: 4, 2: 2, 3: 3}, "brats2024", [0, 2, 3, 4]),
        ({1: 2, 2: 4, 3: 1}, "brats-ped", [0, 1, 2, 4]),
        ({1: 1, 2: 2.004, 3: 3.999}, "brats2020", [0, 1, 2, 4]),
    ],
)
def test_labels_are_written_with_the_values_that_say_what_they_mean(
    raw: Callable[..., Path], mapping: Any, label_set: str, values: list[int]
) -> None:
    assert written(raw({"p": mapping}), label_set) == values


def test_core_and_oedema_of_the_decathlon_change_places(raw: Callable[..., Path]) -> None:
    assert written_values(LABEL_SETS["msd"]) == {1: 2, 2: 1, 3: 4}
    (case,) = raw_cases(raw({"p": {1: 2, 2: 1, 3: 3}}), "msd")
    texts = [warning.text for warning in read_case(case).warnings]
    assert "seg: label 1 is written as 2, which is oedema in the names of BraTS 2021" in texts


@pytest.mark.parametrize("name", LABEL_SETS)
def test_a_set_keeps_its_values_where_the_file_names_have_none(name: str) -> None:
    label_set = LABEL_SETS[name]
    kept = {"cavity", "cyst", "ignore"} & set(label_set.words.values())
    assert (written_label_set(label_set) is label_set) == bool(kept or name == "brats2020")


@pytest.mark.parametrize(
    ("cases", "fitting"),
    [
        ({"a": CAVITY, "b": CAVITY}, "brats2020 (2 oedema, 4 enhancing); brats2024"),
        ({"a": {1: 1, 2: 2, 3: 3}, "b": CAVITY}, "brats2024"),
        ({"a": {1: 4, 2: 2, 3: 1}}, "brats2024"),
        ({"a": {1: 2, 2: 4, 3: 1}}, "brats-ped"),
        ({"a": {1: 2, 2: 1, 3: 3}}, "msd"),
    ],
)
def test_raw_labels_of_which_several_sets_fit_are_a_question(
    raw: Callable[..., Path], cases: Any, fitting: str
) -> None:
    found = raw_cases(raw(cases))
    assert all(fitting in case.problems[-1].text and "label_set.json" in case.problems[-1].remedy for case in found)


@pytest.mark.parametrize(
    ("name", "label_set"),
    [
        ("BraTS-GLI-00001-101", "brats2024"),
        ("BraTS-PED-00001-000", "brats-ped"),
        ("BraTS-MET-00001-000", "brats-met"),
        ("Brats18_2013_11_1", "brats2020"),
    ],
)
def test_names_of_raw_folders_decide(raw: Callable[..., Path], name: str, label_set: str) -> None:
    folder = raw({name: CAVITY})
    (case,) = raw_cases(folder)
    assert case.labels
    assert case.labels.label_set.name == label_set
    assert f"labels     {label_set}, said by the case names" in "\n".join(describe_raw_cases([case]))


def test_an_answer_in_the_raw_folder_answers(raw: Callable[..., Path]) -> None:
    folder = raw({"a": CAVITY})
    (folder / "label_set.json").write_text('{"2": "edema", "4": "RC"}')
    (case,) = raw_cases(folder)
    assert case.problems == ()
    assert case.labels == raw_cases(folder)[0].labels


def test_a_label_that_the_set_has_not_is_refused(raw: Callable[..., Path]) -> None:
    (case,) = raw_cases(raw({"a": {1: 7, 2: 2, 3: 3}}), "brats2024")
    with pytest.raises(ValueError, match=r"has labels 0, 2, 3, 7, and those of brats2024 are 1 necrotic"):
        read_case(case)


def test_a_finished_case_stays_finished_unless_its_labels_mean_something_else(raw: Callable[..., Path]) -> None:
    folder, settings = raw({"a": CAVITY}), PreparationSettings()
    plain, early, late = (fingerprint(raw_cases(folder, name)[0], settings) for name in ("", "brats2020", "brats2024"))
    assert plain == early != late


def test_the_sidecar_says_the_set_to_every_command(raw: Callable[..., Path], tmp_path: Path) -> None:
    folder = raw({"BraTS-PED-00001-000": {1: 3, 2: 4, 3: 1}})
    settings = PreparationSettings(grid=GridKind.REFERENCE, brain_mask=BrainMaskMethod.OWN)
    (outcome,) = prepare_raw_cohort(folder, tmp_path / "out", settings, workers=1, progress=False)
    assert outcome.report, outcome.problems
    path = tmp_path / "out" / outcome.case / f"{outcome.case}_seg.json"
    assert label_set_of(json.loads(path.read_text()), "") is BRATS_PED_LABELS
    assert outcome.report["labels"]["said_by"] == "the case names"
    (case,) = look_for_cases(tmp_path / "out").cases
    assert case.label_choice
    assert (case.label_set, case.label_choice.because) == (BRATS_PED_LABELS, "the sidecar of the segmentation")
