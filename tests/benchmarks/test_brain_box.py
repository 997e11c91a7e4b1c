from __future__ import annotations

from benchmarks.brain_box import SIDES, WHOLE, compared
from benchmarks.training_step import SIZES
from utad_monai.data.brain_box import box_pixels

LARGEST_PHANTOM_MM = (200.0, 156.0)


def test_the_sides_are_the_boxes_of_the_phantom() -> None:
    size, pixel = SIZES["demo"], (2.5, 2.5)
    assert box_pixels([LARGEST_PHANTOM_MM], pixel, size.image_size, room_mm=0) == size.tight_box_size
    assert box_pixels([LARGEST_PHANTOM_MM], pixel, size.image_size) == size.box_size
    assert tuple(SIDES["brain box"]["image_size"]) == size.box_size
    assert tuple(SIDES[WHOLE]["image_size"]) == size.image_size


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
