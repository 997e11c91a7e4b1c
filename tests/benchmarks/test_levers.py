from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from benchmarks import levers
from benchmarks.levers import OURS, Guard, Kept, LeftOut, cycle
from benchmarks.training_step import Size
from utad_monai.engines import translation_trainer

TINY = Size(2, 4, 2, (32, 32), (32, 16), (32, 16), 2, 2)


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
    ours = losses_of(cycle(TINY, OURS))
    changed = losses_of(cycle(TINY, lever))
    assert changed == pytest.approx(ours, rel=1e-2)  # rounding, in a first step of Adam
    assert lever in {Kept.MEMORY} | set(levers._CHANGES) | set(levers._LAYERS)
