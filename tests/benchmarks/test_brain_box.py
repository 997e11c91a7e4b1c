from __future__ import annotations

import pytest

from benchmarks.brain_box import SETTINGS, WHOLE, Setting, compared
from benchmarks.training_step import SIZES
from utad_monai.data.brain_box import ROOM_MM, box_pixels

LARGEST_PHANTOM_MM = (200.0, 156.0)
LARGEST_SMALLER_PHANTOM_MM = (186.0, 146.0)


@pytest.mark.parametrize(
    ("name", "side", "largest_mm", "room_mm"),
    [
        ("demo", "tight box", LARGEST_PHANTOM_MM, 0.0),
        ("demo", "brain box", LARGEST_PHANTOM_MM, ROOM_MM),
        ("small", "roomy box", LARGEST_SMALLER_PHANTOM_MM, 17.0),
    ],
)
def test_the_boxes_are_those_of_the_phantom(
    name: str, side: str, largest_mm: tuple[float, float], room_mm: float
) -> None:
    setting = SETTINGS[name]
    pixel_mm = (setting.pixel_mm, setting.pixel_mm)
    assert box_pixels([largest_mm], pixel_mm, setting.sides[WHOLE], room_mm) == setting.sides[side]


@pytest.mark.parametrize("name", SETTINGS)
def test_the_whole_frame_is_that_of_the_training_step(name: str) -> None:
    image_size = SIZES[name].image_size
    assert SETTINGS[name].overrides(WHOLE) == {"frame_size_mm": [240, 240], "image_size": list(image_size)}


@pytest.mark.parametrize("setting", SETTINGS.values())
def test_all_are_judged_by_the_pixels_of_the_smallest_frame(setting: Setting) -> None:
    first, *others = setting.sides.values()
    assert all(first[axis] <= other[axis] for other in others for axis in (0, 1))


def test_a_box_is_compared_with_the_frame_seed_by_seed() -> None:
    def row(ssim: float, seconds: float) -> dict[str, float]:
        return {"seconds": seconds, "ssim": ssim, "mae": 0.2, "tumour_ssim": 0.1, "tumour_mae": 0.3}

    box, whole = [row(0.4, 10), row(0.7, 10), row(0.5, 10)], [row(0.2, 20), row(0.8, 30), row(0.4, 40)]
    found = compared({"box": box, WHOLE: whole})
    against = found[f"box against {WHOLE}"]
    assert [round(value, 6) for value in against["minus"]["ssim"]] == [0.1, -0.1, 0.2]
    assert against["minus"]["mae"] == [0, 0, 0]
    assert against["times faster"] == [3, 2, 4]
    assert round(found["box"]["ssim"], 6) == 0.533333
    assert round(found[WHOLE]["ssim"], 6) == 0.466667
    assert found["seeds"] == 3
