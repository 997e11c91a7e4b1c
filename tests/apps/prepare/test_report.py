"""A preparation that looks failed is said to be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from utad_monai.apps.prepare.brain_mask import BrainMask
from utad_monai.apps.prepare.case_preparation import PreparedCase
from utad_monai.apps.prepare.geometry import Grid, image_of, translation
from utad_monai.apps.prepare.registration import Registration
from utad_monai.apps.prepare.report import preparation_warnings
from utad_monai.apps.prepare.settings import BrainMaskMethod
from utad_monai.data.quality.finding import FindingKind, Severity
from utad_monai.keys import Modality

AFFINE = np.diag([-4.0, -4, 4, 1])


def turned(degrees: float) -> Any:
    angle = np.radians(degrees)
    matrix = translation([0, 0, 0])
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return matrix


@pytest.fixture
def sound() -> PreparedCase:
    """Give a prepared case without any warning: a box of 1.3 l as brain."""
    voxels = np.zeros((40, 40, 40), np.uint8)
    voxels[5:32, 5:32, 5:33] = 1
    brain = image_of(voxels, AFFINE)
    found = Registration(turned(5), 0.2, information_after=0.5, start="scanner", improved=True)
    return PreparedCase(
        images={},
        segmentation=None,
        brain=brain,
        mask=BrainMask(brain, BrainMaskMethod.GIVEN),
        reference=Modality.T1,
        registrations={Modality.T2: found},
        matrices={},
        raw_grids={},
        grid=Grid.of(brain),
        stripped=frozenset(),
        covered={Modality.T1: 1.0, Modality.T2: 0.995},
    )


def phrases(case: PreparedCase) -> list[str]:
    return [warning.phrase for warning in preparation_warnings("P1", case)]


def test_a_sound_case_has_no_warning(sound: PreparedCase) -> None:
    assert phrases(sound) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            Registration(turned(31), 0.2, information_after=0.5, start="moments", improved=True),
            "turned the image by 31 degrees",
        ),
        (
            Registration(turned(0), 0.2, information_after=0.2, start="scanner", improved=False),
            "nothing better than the scanner's coordinates",
        ),
    ],
)
def test_failed_registrations(sound: PreparedCase, found: Registration, said: str) -> None:
    (warning,) = phrases(replace(sound, registrations={Modality.T2: found}))
    assert said in warning
    assert warning.startswith("t2:")


@pytest.mark.parametrize(("scale", "litres"), [(0.7, "448 ml"), (1.3, "2870 ml")])
def test_masks_that_are_no_brain(sound: PreparedCase, scale: float, litres: str) -> None:
    voxels = np.zeros((40, 40, 40), np.uint8)
    voxels[5:32, 5:32, 5:33] = 1
    scaled = image_of(voxels, AFFINE * np.array([scale, scale, scale, 1]))
    (warning,) = phrases(replace(sound, brain=scaled, mask=replace(sound.mask, image=scaled)))
    assert litres in warning


def test_rough_masks_and_skulls_that_stay(sound: PreparedCase) -> None:
    rough = replace(sound, mask=replace(sound.mask, method=BrainMaskMethod.OTSU))
    assert "ROUGH" in "".join(phrases(rough))
    skull = replace(sound, mask=replace(sound.mask, method=BrainMaskMethod.NONE))
    assert "the skull stays" in "".join(phrases(skull))


def test_brain_outside_a_field_of_view_or_the_grid(sound: PreparedCase) -> None:
    (warning,) = phrases(replace(sound, covered={Modality.T1: 0.8}))
    assert "t1: 20% of the brain lies outside its field of view" in warning
    half = image_of(np.asarray(np.ones((10, 20, 20)), np.uint8), AFFINE)
    (warning,) = phrases(replace(sound, brain=half))
    assert "lies outside the prepared grid" in warning


def test_tumour_outside_the_brain(sound: PreparedCase) -> None:
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[28:38, 10:12, 10:12] = 1
    (warning,) = phrases(replace(sound, segmentation=image_of(labels, AFFINE)))
    assert "60% of the tumour lies outside the brain mask" in warning
    inside = replace(sound, segmentation=image_of(np.zeros((40, 40, 40), np.uint8), AFFINE))
    assert phrases(inside) == []


def test_warnings_are_told_by_kind_and_name_the_case(sound: PreparedCase) -> None:
    found = Registration(turned(31), 0.2, information_after=0.5, start="moments", improved=True)
    rough = replace(sound.mask, method=BrainMaskMethod.OTSU)
    case = replace(sound, registrations={Modality.T2: found}, mask=rough, covered={Modality.T1: 0.8})
    warnings = list(preparation_warnings("P1", case))
    assert [one.kind for one in warnings] == [FindingKind.REGISTRATION, FindingKind.BRAIN, FindingKind.COVERAGE]
    assert {(one.severity, one.case_id) for one in warnings} == {(Severity.WARNING, "P1")}
