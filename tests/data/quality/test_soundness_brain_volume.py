"""Every limit of a brain's volume stands beside the others, so that they are compared when one changes."""

from __future__ import annotations

import ast
from pathlib import Path

import utad_monai
from utad_monai.data.quality import soundness as brain_volume
from utad_monai.data.quality.soundness import (
    LARGEST_BRAIN_ML,
    PREPARED_ML,
    ROUGH_MASK_ML,
    STRIPPED_ML,
    TRANSLATED_ML,
)


def constants(path: Path) -> set[str]:
    module = ast.parse(path.read_text(encoding="utf-8"))
    targets = (target for node in module.body if isinstance(node, ast.Assign) for target in node.targets)
    return {target.id for target in targets if isinstance(target, ast.Name)}


def test_limits_are_defined_nowhere_else() -> None:
    elsewhere = set(Path(utad_monai.__file__).parent.rglob("*.py")) - {Path(brain_volume.__file__)}
    assert [path for path in elsewhere if any(name.endswith("_ML") for name in constants(path))] == []


def test_what_is_made_of_whole_heads_is_judged_most_strictly_and_no_limit_lets_a_head_pass() -> None:
    assert STRIPPED_ML[0] < TRANSLATED_ML[0] < PREPARED_ML[0]
    assert ROUGH_MASK_ML < STRIPPED_ML[1] < TRANSLATED_ML[1] == PREPARED_ML[1] == LARGEST_BRAIN_ML
