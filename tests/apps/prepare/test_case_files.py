"""The picture shows every modality with the reference's edges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from PIL import Image

from utad_monai.apps.prepare.brain_mask import BrainMask
from utad_monai.apps.prepare.case_files import write_picture
from utad_monai.apps.prepare.case_preparation import PreparedCase
from utad_monai.apps.prepare.geometry import Grid, image_of
from utad_monai.apps.prepare.settings import BrainMaskMethod
from utad_monai.keys import Modality


@pytest.fixture
def case(stripped_head: Any) -> PreparedCase:
    """Give a prepared case of two images."""
    brain = image_of(stripped_head.brain.astype(np.uint8), stripped_head.affine)
    images = {modality: stripped_head.images[modality] for modality in (Modality.T1, Modality.T2)}
    return PreparedCase(
        images=images,
        segmentation=None,
        brain=brain,
        mask=BrainMask(brain, BrainMaskMethod.GIVEN),
        reference=Modality.T1,
        registrations={},
        matrices={},
        raw_grids={},
        grid=Grid.of(brain),
        stripped=frozenset(),
        covered={},
    )


def pixels(path: Path) -> Any:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def orange(picture: Any) -> int:
    return int(((picture[..., 0] > 150) & (picture[..., 2] < 0.6 * picture[..., 0])).sum())


def test_edges_of_the_reference_lie_over_every_image(case: PreparedCase, tmp_path: Path) -> None:
    picture = pixels(write_picture(tmp_path / "p.png", case))
    half = len(picture) // 2
    assert orange(picture[:half]) > 300
    assert orange(picture[half:]) == pytest.approx(orange(picture[:half]), rel=0.3)


def test_the_same_case_gives_the_same_file_and_a_shift_another(case: PreparedCase, tmp_path: Path) -> None:
    first = write_picture(tmp_path / "1.png", case).read_bytes()
    assert write_picture(tmp_path / "2.png", case).read_bytes() == first
    moved = sitk.Resample(case.images[Modality.T2], sitk.TranslationTransform(3, [16.0, 0, 0]))
    shifted = replace(case, images={**case.images, Modality.T2: moved})
    assert write_picture(tmp_path / "3.png", shifted).read_bytes() != first


def test_a_rough_mask_is_called_rough(case: PreparedCase, tmp_path: Path) -> None:
    rough = replace(case, mask=replace(case.mask, method=BrainMaskMethod.OTSU))
    picture = pixels(write_picture(tmp_path / "p.png", rough))
    red = (picture[..., 0] > 200) & (picture[..., 1] < 140) & (picture[..., 2] < 140) & (picture[..., 2] > 60)
    assert red[:40].sum() > 50


def test_a_case_without_brain_is_still_drawn(case: PreparedCase, tmp_path: Path) -> None:
    empty = replace(case, brain=case.brain * 0)
    assert write_picture(tmp_path / "p.png", empty).stat().st_size > 1000
