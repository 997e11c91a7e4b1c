"""The rough mask finds most of a brain in a head, whatever the sequence."""

from __future__ import annotations

from typing import Any

import pytest

from utad_monai.keys import Modality
from utad_monai.preparation.grids import Grid, array_of
from utad_monai.preparation.rough_mask import rough_brain_mask


@pytest.mark.parametrize("modality", list(Modality))
def test_the_brain_is_mostly_found(head: Any, modality: Modality) -> None:
    mask = rough_brain_mask(head.images[modality])
    assert Grid.of(mask) == Grid.of(head.images[modality])
    found = array_of(mask) > 0
    dice = 2 * (found & head.brain).sum() / (found.sum() + head.brain.sum())
    assert dice > 0.9


def test_bias_and_a_turned_head_do_not_matter(raw_head: Any) -> None:
    found = array_of(rough_brain_mask(raw_head.images[Modality.T1CE])) > 0
    assert found.sum() == pytest.approx(raw_head.head.brain.sum(), rel=0.15)
