"""The brain box holds every brain of a cohort, with pixels of the same size, and stays what it was."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from utad_monai.data import Preprocessing, find_cases
from utad_monai.data.brain_box import BRAIN_BOX_FILE, box_pixels, fit_to_brains
from utad_monai.data.preprocessing import load_case
from utad_monai.data.quality.finding import CohortError

EXTENTS = st.lists(st.tuples(st.floats(1, 220), st.floats(1, 220)), min_size=1, max_size=5)


@given(EXTENTS, st.floats(0.8, 4), st.floats(0.8, 4), st.floats(0, 20))
def test_the_box_is_the_least_that_holds_all_brains_with_their_room(
    extents: list[tuple[float, float]], row_mm: float, column_mm: float, room_mm: float
) -> None:
    size = box_pixels(extents, (row_mm, column_mm), (512, 512), room_mm)
    for axis, mm in enumerate((row_mm, column_mm)):
        greatest = (max(extent[axis] for extent in extents) + 2 * room_mm) / mm
        assert size[axis] % 16 == 0
        assert size[axis] >= greatest
        assert size[axis] == 32 or size[axis] - 16 < greatest


def test_the_box_is_never_larger_than_the_frame() -> None:
    assert box_pixels([(230, 120)], (1.875, 1.875), (112, 128), room_mm=0) == (112, 64)


def test_brains_of_180_by_150_mm_get_room_for_larger_ones_at_the_published_pixels() -> None:
    assert box_pixels([(180, 150)], (1.875, 1.875), (128, 128), room_mm=0) == (96, 80)
    assert box_pixels([(180, 150)], (1.875, 1.875), (128, 128)) == (112, 96)


@pytest.mark.parametrize("room_mm", [-1, math.inf, math.nan])
def test_impossible_room_is_refused(room_mm: float) -> None:
    with pytest.raises(ValueError, match="brain_box_room_mm"):
        box_pixels([(180, 150)], (1, 1), (512, 512), room_mm)


def test_no_brain_has_no_box() -> None:
    with pytest.raises(ValueError, match="no brain"):
        box_pixels([], (1, 1), (128, 128))


@pytest.fixture
def wide() -> Preprocessing:
    return Preprocessing(frame_size_mm=(96, 96), image_size=(96, 96))


def test_a_cohort_gets_a_smaller_frame_with_the_same_pixels_that_cuts_nothing(
    tiny_cohort: Path, tmp_path: Path, wide: Preprocessing
) -> None:
    fitted = fit_to_brains(wide, tiny_cohort, tmp_path, room_mm=0)
    assert fitted.image_size == (32, 32)
    assert fitted.pixel_mm == wide.pixel_mm
    for case in find_cases(tiny_cohort):
        loaded = load_case(case, fitted)
        assert not loaded.placement.cuts(loaded.brain)


def test_room_widens_the_box_of_a_cohort(tiny_cohort: Path, tmp_path: Path, wide: Preprocessing) -> None:
    assert fit_to_brains(wide, tiny_cohort, tmp_path, room_mm=20).image_size > (32, 32)


def test_without_it_nothing_changes(tmp_path: Path, wide: Preprocessing) -> None:
    assert fit_to_brains(wide, tmp_path / "absent", tmp_path, brain_box=False) is wide


def test_what_is_in_the_output_folder_wins(tiny_cohort: Path, tmp_path: Path, wide: Preprocessing) -> None:
    content = {"frame_size_mm": [64.0, 48.0], "image_size": [64, 48]}
    (tmp_path / BRAIN_BOX_FILE).write_text(json.dumps(content), encoding="utf-8")
    assert fit_to_brains(wide, tiny_cohort, tmp_path) == replace(wide, frame_size_mm=(64, 48), image_size=(64, 48))


def test_cases_that_are_refused_do_not_count(
    tmp_path: Path, write_case: Callable[..., Path], wide: Preprocessing
) -> None:
    for number in range(2):
        write_case(tmp_path / "cohort", f"BraTS_{number:03d}", seed=number)
    broken = write_case(tmp_path / "cohort", "BraTS_bad", shape=(60, 60, 12))
    (broken / "BraTS_bad_t1.nii.gz").write_bytes(b"")
    assert fit_to_brains(wide, tmp_path / "cohort", tmp_path / "run", room_mm=0).image_size == (32, 32)
    (tmp_path / "run" / BRAIN_BOX_FILE).unlink()
    for case in (0, 1):
        (tmp_path / "cohort" / f"BraTS_{case:03d}" / f"BraTS_{case:03d}_t1.nii.gz").write_bytes(b"")
    with pytest.raises(CohortError, match="is empty") as refused:
        fit_to_brains(wide, tmp_path / "cohort", tmp_path / "run")
    assert len(refused.value.problems) == 3
