"""The cohort's own intensities."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import nibabel
import numpy as np
import pytest
import torch

from utad_monai.apps.complete.intensities import measure_cohort
from utad_monai.data import Preprocessing, find_cases
from utad_monai.keys import Modality
from utad_monai.transforms import brain_window, read_nifti


@pytest.fixture
def cohort(tmp_path: Path, write_case: Callable[..., Any]) -> Path:
    for number, modalities in enumerate([[Modality.T1], [Modality.T1, Modality.T2], [Modality.T1]]):
        folder = write_case(tmp_path / "cohort", f"case_{number}", modalities, seed=number)
        path = folder / f"case_{number}_t1.nii.gz"
        image = nibabel.load(path)
        nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj) * (number + 1), image.affine), path)
    return tmp_path / "cohort"


@pytest.mark.parametrize("workers", [1, 2])
def test_window_is_the_median_of_the_cases_that_have_the_modality(cohort: Path, workers: int) -> None:
    windows = measure_cohort(find_cases(cohort), Preprocessing(), workers, progress=False)[0]
    single = [brain_window(torch.from_numpy(read_nifti(case.images[Modality.T1]).array)) for case in find_cases(cohort)]
    assert set(windows) == {Modality.T1, Modality.T2}
    assert windows[Modality.T1].lower == median(window.lower for window in single)
    assert windows[Modality.T1].upper == median(window.upper for window in single)


def test_broken_images_are_passed_over(cohort: Path) -> None:
    before = measure_cohort(find_cases(cohort), Preprocessing(), progress=False)[0]
    (cohort / "case_1" / "case_1_t2.nii.gz").write_bytes(b"broken")
    after = measure_cohort(find_cases(cohort), Preprocessing(), progress=False)[0]
    assert after == {Modality.T1: before[Modality.T1]}
