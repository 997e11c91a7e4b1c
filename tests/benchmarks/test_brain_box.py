from __future__ import annotations

from benchmarks.brain_box import WHOLE, compared


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
