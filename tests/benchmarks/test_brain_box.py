from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import brain_box
from benchmarks.brain_box import SETTINGS, WHOLE, Setting, box_against_frame
from benchmarks.quality import MEASURES
from benchmarks.seeds import Sides
from benchmarks.training_step import SIZES, SWITCHES
from utad_monai.bundle.configs import bundles_dir
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
    overrides = SETTINGS[name].overrides(WHOLE)
    assert (overrides["frame_size_mm"], overrides["image_size"]) == ([240, 240], list(image_size))


@pytest.mark.parametrize("setting", SETTINGS.values())
def test_the_smallest_frame_comes_first(setting: Setting) -> None:
    first, *others = setting.sides.values()
    assert all(first[axis] <= other[axis] for other in others for axis in (0, 1))


def test_every_side_is_trained_in_its_frame_and_judged_in_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def train(folder: Path, sides: Sides, dataset_dir: Path, box: tuple[int, int], seeds: int) -> dict[str, Any]:
        asked.extend([folder, sides, dataset_dir, box, seeds])
        return {side: [dict.fromkeys(("seconds", *MEASURES), 0.5)] * seeds for side in sides}

    monkeypatch.setattr(brain_box, "over_seeds", train)
    monkeypatch.setattr(brain_box, "write_phantom_cohort", lambda folder, **_: folder)
    setting = Setting(brain_size=0.9, pixel_mm=2.0, sides={"box": (32, 16), WHOLE: (48, 48)})
    found = box_against_frame(tmp_path, setting, seeds=3)
    sides = {
        "box": {"frame_size_mm": [64, 32], "image_size": [32, 16], "tumour_guidance_weight": 0},
        WHOLE: {"frame_size_mm": [96, 96], "image_size": [48, 48], "tumour_guidance_weight": 0},
    }
    assert asked == [tmp_path, sides, tmp_path / "phantom", (32, 16), 3]
    assert f"box against {WHOLE}" in found


@pytest.mark.parametrize("name", ["demo", "small"])
def test_switches_change_no_frame(name: str) -> None:
    plain, switched = SETTINGS[name], SETTINGS[f"{name} switched"]
    for side in plain.sides:
        assert switched.overrides(side) == plain.overrides(side) | SWITCHES


def test_switches_are_keys_of_the_bundle_that_the_preset_leaves_alone() -> None:
    files = ("teacher", "published", "small")
    teacher, published, preset = (json.loads((bundles_dir() / f"{name}.json").read_text()) for name in files)
    assert set(SWITCHES) <= set(teacher)
    changed = {key: value for key, value in SWITCHES.items() if (published | preset)[key] != value}
    assert changed == SWITCHES
