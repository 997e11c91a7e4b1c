from __future__ import annotations

import pytest

from benchmarks.quality import MEASURES, Course, Quality, time_to_quality


def quality(ssim: float, tumour_mae: float) -> Quality:
    return {"ssim": ssim, "mae": 0.2, "tumour_ssim": 0.1, "tumour_mae": tumour_mae}


def course(ours: Quality, end: Quality, seconds: float = 100.0) -> Course:
    return Course(seconds, ours, [quality(0.1, 0.4), end])


REACHES = course(quality(0.4, 0.2), quality(0.3, 0.3), seconds=80.0)
BEHIND_IN_STRUCTURE = course(quality(0.2, 0.2), quality(0.3, 0.3), seconds=90.0)
BEHIND_IN_THE_TUMOUR = course(quality(0.5, 0.4), quality(0.3, 0.3))


def test_a_preset_reaches_the_recipe_when_neither_structure_nor_the_tumour_is_behind() -> None:
    found = time_to_quality([REACHES, BEHIND_IN_STRUCTURE, BEHIND_IN_THE_TUMOUR])
    assert found["seeds"] == 3
    assert found["seeds whose preset reaches it"] == 1


def test_equal_quality_is_reached() -> None:
    assert time_to_quality([course(quality(0.3, 0.3), quality(0.3, 0.3))])["median preset reaches it"]


@pytest.mark.parametrize("behind", [BEHIND_IN_STRUCTURE, BEHIND_IN_THE_TUMOUR])
def test_one_seed_behind_of_three_leaves_the_median_ahead_and_two_do_not(behind: Course) -> None:
    assert time_to_quality([REACHES, REACHES, behind])["median preset reaches it"]
    assert not time_to_quality([REACHES, behind, behind])["median preset reaches it"]


def test_the_seeds_are_told_by_median_least_and_greatest() -> None:
    found = time_to_quality([REACHES, BEHIND_IN_STRUCTURE, BEHIND_IN_THE_TUMOUR])
    assert found["preset"] == {
        "seconds": [90, 80, 100],
        "ssim": [0.4, 0.2, 0.5],
        "mae": [0.2, 0.2, 0.2],
        "tumour_ssim": [0.1, 0.1, 0.1],
        "tumour_mae": [0.2, 0.2, 0.4],
    }
    assert found["literal recipe after minutes"]["1"]["ssim"] == [0.1, 0.1, 0.1]
    assert found["literal recipe after minutes"]["2"]["ssim"] == [0.3, 0.3, 0.3]


def test_the_distance_to_the_recipe_is_taken_seed_by_seed() -> None:
    ahead = time_to_quality([REACHES, BEHIND_IN_STRUCTURE, BEHIND_IN_THE_TUMOUR])["preset minus recipe at the end"]
    assert set(ahead) == set(MEASURES)
    assert ahead["ssim"] == pytest.approx([0.1, -0.1, 0.2])
    assert ahead["tumour_mae"] == pytest.approx([-0.1, -0.1, 0.1])
