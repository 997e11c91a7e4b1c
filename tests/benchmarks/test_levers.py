from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from benchmarks import levers
from benchmarks.levers import OURS, Guard, Kept, LeftOut, Recipe, cycle
from benchmarks.training_step import Rivals, Role, Size
from utad_monai.engines import translation_trainer
from utad_monai.keys import BatchKey, LossTerm

TINY = Size(2, 4, 2, (32, 32), (32, 16), (32, 16), 2, 2)
SMALL = {
    "image_size": [32, 32],
    "batch_size": 2,
    "base_channels": 2,
    "critic_channels": 4,
    "critic_layers": 2,
    "start_weights": "",
}
TERMS = {
    Role.TEACHER: {LossTerm.ANCHOR, LossTerm.ANCHOR_TUMOUR, LossTerm.ANCHOR_STRUCTURE},
    Role.STUDENT: {
        LossTerm.IMAGE_DISTILLATION,
        LossTerm.FEATURE_DISTILLATION,
        LossTerm.TUMOUR_DISTILLATION,
        LossTerm.STRUCTURE_DISTILLATION,
    },
}


def losses_of(run: Callable[[], object]) -> dict[str, float]:
    torch.manual_seed(1)
    losses = run()
    assert isinstance(losses, dict)
    return losses


@pytest.mark.parametrize("lever", [*Kept, LeftOut.CHANNELS_LAST, LeftOut.FUSED_ADAM, *Guard])
def test_levers_do_not_change_what_is_computed(lever: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levers, "keep_freed_memory", lambda: True)  # it would stay with the whole test process
    for name in ("_frozen",):  # a lever replaces it
        monkeypatch.setattr(translation_trainer, name, getattr(translation_trainer, name))
    ours = losses_of(cycle(Rivals(TINY), OURS))
    changed = losses_of(cycle(Rivals(TINY), lever))
    assert changed == pytest.approx(ours, rel=1e-2)  # rounding, in a first step of Adam
    assert lever in {Kept.MEMORY, Kept.LAYERS} | set(levers._CHANGES)


@pytest.mark.parametrize("role", Role)
def test_the_recipe_has_what_the_bundles_train_with(role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levers, "keep_freed_memory", lambda: True)
    recipe = Recipe(role, **SMALL)
    recipe.batch[BatchKey.SOURCE_MODALITY], recipe.batch[BatchKey.TARGET_MODALITY] = torch.tensor([[0, 1], [2, 3]])
    losses = losses_of(cycle(recipe, OURS))
    assert TERMS[role] <= set(losses)
    assert not losses.keys() & TERMS[Role.STUDENT if role is Role.TEACHER else Role.TEACHER]
    assert recipe.generator.description() | {"base_channels": 16} == {
        "base_channels": 16,
        "scheme": "complete",
        "second_input": "tumour_image" if role is Role.TEACHER else "whole_image",
        "keep_background": True,
        "condition_in_brain": False,
        "norm_group": 1,
        "sources": "several",
        "conditional_norms": True,
        "gain_head": True,
        "residual_fusion": True,
    }
