from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import seeds
from benchmarks.seeds import compared, train_sides


def test_every_side_is_trained_with_its_settings_and_judged_in_the_same_box(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[dict[str, Any]] = []
    judged: list[tuple[Path, int, Path, tuple[int, int]]] = []

    def train(_folder: Path, seed: int, **overrides: Any) -> float:
        trained.append({"seed": seed, **overrides})
        return 1.0

    def judge(folder: Path, seed: int, dataset_dir: Path, box: tuple[int, int]) -> dict[str, float]:
        judged.append((folder, seed, dataset_dir, box))
        return {"ssim": 0.5}

    monkeypatch.setattr(seeds, "train_preset", train)
    monkeypatch.setattr(seeds, "preset_quality", judge)
    phantom, sides = tmp_path / "phantom", {"as it is": {}, "other": {"max_epochs": 3}}
    found = train_sides(tmp_path, sides, phantom, (32, 16), seed=3)
    assert found == {side: {"seconds": 1.0, "ssim": 0.5} for side in sides}
    assert trained == [
        {"seed": 3, "dataset_dir": str(phantom)},
        {"seed": 3, "dataset_dir": str(phantom), "max_epochs": 3},
    ]
    assert judged == [(tmp_path / f"{side}_3", 3, phantom, (32, 16)) for side in ("as_it_is", "other")]


def test_a_side_is_compared_with_the_reference_seed_by_seed() -> None:
    def row(ssim: float, seconds: float) -> dict[str, float]:
        return {"seconds": seconds, "ssim": ssim, "mae": 0.2, "tumour_ssim": 0.1, "tumour_mae": 0.3}

    box, whole = [row(0.4, 10), row(0.7, 10), row(0.5, 10)], [row(0.2, 20), row(0.8, 30), row(0.4, 40)]
    found = compared({"box": box, "whole": whole}, "whole")
    against = found["box against whole"]
    assert [round(value, 6) for value in against["minus"]["ssim"]] == [0.1, -0.1, 0.2]
    assert against["minus"]["mae"] == [0, 0, 0]
    mean, low, high = against["mean minus (95 % bootstrap interval over seeds)"]["ssim"]
    assert round(mean, 6) == 0.066667
    assert [round(low, 6), round(high, 6)] == [-0.1, 0.2]
    assert against["times faster"] == [3, 2, 4]
    assert round(found["box"]["ssim"], 6) == 0.533333
    assert round(found["whole"]["ssim"], 6) == 0.466667
    assert found["seeds"] == 3
