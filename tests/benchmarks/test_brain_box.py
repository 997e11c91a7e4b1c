from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import brain_box
from benchmarks.brain_box import SETTINGS, WHOLE, Setting, compared, train_sides
from benchmarks.training_step import SIZES, SWITCHES
from utad_monai.configuration import bundles_dir
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


@pytest.mark.parametrize("name", ["demo", "small"])
def test_the_whole_frame_is_that_of_the_training_step(name: str) -> None:
    image_size = SIZES[name].image_size
    assert SETTINGS[name].overrides(WHOLE) == {"frame_size_mm": [240, 240], "image_size": list(image_size)}


@pytest.mark.parametrize("setting", SETTINGS.values())
def test_the_smallest_frame_comes_first(setting: Setting) -> None:
    first, *others = setting.sides.values()
    assert all(first[axis] <= other[axis] for other in others for axis in (0, 1))


def test_every_side_is_trained_in_its_frame_and_judged_in_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[dict[str, Any]] = []
    judged: list[tuple[int, Path, tuple[int, int]]] = []

    def train(_folder: Path, seed: int, **overrides: Any) -> float:
        trained.append({"seed": seed, **overrides})
        return 1.0

    def judge(_folder: Path, seed: int, dataset_dir: Path, box: tuple[int, int]) -> dict[str, float]:
        judged.append((seed, dataset_dir, box))
        return {"ssim": 0.5}

    monkeypatch.setattr(brain_box, "train_preset", train)
    monkeypatch.setattr(brain_box, "preset_quality", judge)
    setting = Setting(brain_size=0.9, pixel_mm=2.0, sides={"box": (32, 16), WHOLE: (48, 48)})
    found = train_sides(tmp_path, setting, seed=3)
    phantom = tmp_path / "phantom"
    assert found == {side: {"seconds": 1.0, "ssim": 0.5} for side in ("box", WHOLE)}
    assert judged == [(3, phantom, (32, 16))] * 2
    assert trained == [
        {"seed": 3, "dataset_dir": str(phantom), "frame_size_mm": [64, 32], "image_size": [32, 16]},
        {"seed": 3, "dataset_dir": str(phantom), "frame_size_mm": [96, 96], "image_size": [48, 48]},
    ]


def test_a_box_is_compared_with_the_frame_seed_by_seed() -> None:
    def row(ssim: float, seconds: float) -> dict[str, float]:
        return {"seconds": seconds, "ssim": ssim, "mae": 0.2, "tumour_ssim": 0.1, "tumour_mae": 0.3}

    box, whole = [row(0.4, 10), row(0.7, 10), row(0.5, 10)], [row(0.2, 20), row(0.8, 30), row(0.4, 40)]
    found = compared({"box": box, WHOLE: whole})
    against = found[f"box against {WHOLE}"]
    assert [round(value, 6) for value in against["minus"]["ssim"]] == [0.1, -0.1, 0.2]
    assert against["minus"]["mae"] == [0, 0, 0]
    mean, low, high = against["mean minus (95 % bootstrap interval over seeds)"]["ssim"]
    assert round(mean, 6) == 0.066667
    assert [round(low, 6), round(high, 6)] == [-0.1, 0.2]
    assert against["times faster"] == [3, 2, 4]
    assert round(found["box"]["ssim"], 6) == 0.533333
    assert round(found[WHOLE]["ssim"], 6) == 0.466667
    assert found["seeds"] == 3


@pytest.mark.parametrize("name", ["demo", "small"])
def test_switches_change_no_frame(name: str) -> None:
    plain, switched = SETTINGS[name], SETTINGS[f"{name} switched"]
    for side in plain.sides:
        assert switched.overrides(side) == plain.overrides(side) | SWITCHES


def test_switches_are_keys_of_the_bundle_that_the_preset_leaves_alone() -> None:
    teacher, preset = (json.loads((bundles_dir() / f"{name}.json").read_text()) for name in ("teacher", "demo"))
    assert set(SWITCHES) <= set(teacher)
    changed = {key: value for key, value in SWITCHES.items() if (teacher | preset)[key] != value}
    assert changed == SWITCHES
