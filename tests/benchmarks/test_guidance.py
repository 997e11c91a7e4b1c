from __future__ import annotations

import json

from benchmarks.guidance import SIDES, WITHOUT
from utad_monai.bundle.configs import bundles_dir


def test_the_sides_differ_in_tumour_guidance_alone() -> None:
    preset = json.loads((bundles_dir() / "small.json").read_text(encoding="utf-8"))
    assert SIDES["preset"] == {}
    assert SIDES[WITHOUT] == {"tumour_guidance_weight": 0}
    assert preset["tumour_guidance_weight"] > 0
