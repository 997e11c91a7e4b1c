"""A head is told from a brain by its volume, or by what reaches the faces of the volume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from utad_monai.data import find_cases
from utad_monai.data.case_volumes import load_volumes
from utad_monai.data.quality.finding import FindingKind
from utad_monai.data.quality.soundness import case_warnings, skull_warning
from utad_monai.keys import Modality
from utad_monai.transforms import read_nifti


def ball(radius_mm: float, spacing_mm: float = 2.0, size: int = 100) -> Tensor:
    axis = (torch.arange(size) - size / 2) * spacing_mm
    x, y, z = torch.meshgrid(axis, axis, axis, indexing="ij")
    return (x**2 + y**2 + z**2 < radius_mm**2).float() * 100


@pytest.mark.parametrize(("radius_mm", "warned"), [(70, False), (83, False), (85, True), (95, True)])
def test_more_than_a_brain_is_a_head(radius_mm: float, warned: bool) -> None:
    text = skull_warning(ball(radius_mm), (2.0, 2.0, 2.0))
    assert bool(text) == warned
    if warned:
        assert "ml is more than a brain" in text


def test_the_warning_names_the_tools_that_strip_a_skull(tmp_path: Path, write_case: Callable[..., Path]) -> None:
    write_case(tmp_path, "A_1", [Modality.T1])
    (case,) = find_cases(tmp_path)
    volumes, _ = load_volumes(case)
    volumes[Modality.T1] += 1
    (warning,) = case_warnings(case, volumes)
    assert (warning.kind, warning.file) == (FindingKind.NOT_SKULL_STRIPPED, case.images[Modality.T1])
    assert warning.phrase.endswith(f"volume's faces; {warning.remedy}")
    assert all(tool in warning.remedy for tool in ("utad-monai prepare", "HD-BET", "SynthStrip"))


def test_spacing_counts() -> None:
    assert skull_warning(ball(70), (4.0, 2.0, 2.0)) != ""


def test_noise_around_the_brain_is_no_background() -> None:
    image = ball(40, size=45) + 1
    assert "covers 100% of the volume's faces" in skull_warning(image, (2.0, 2.0, 2.0))


def test_a_brain_that_touches_the_faces_is_fine() -> None:
    image = ball(70)[16:84, 16:84, 16:84]
    assert skull_warning(image, (2.0, 2.0, 2.0)) == ""


@pytest.mark.real_data
def test_real_brains_are_fine(real_dataset_dir: Path) -> None:
    case = find_cases(real_dataset_dir)[0]
    for path in case.images.values():
        assert skull_warning(torch.from_numpy(read_nifti(path).array), (1, 1, 1)) == ""
