"""A tumour is smaller than the brain and lies in it."""

from __future__ import annotations

import pytest
import torch

from utad_monai.check.segmentation import doubtful_segmentation

BRAIN = torch.zeros(10, 10, 10, dtype=torch.bool)
BRAIN[2:8, 2:8, 2:8] = True


def test_a_tumour_in_the_brain_is_fine() -> None:
    tumour = torch.zeros(10, 10, 10)
    tumour[3:5, 3:5, 3:5] = 1
    assert list(doubtful_segmentation(tumour, BRAIN)) == []


def test_no_tumour_is_not_judged() -> None:
    assert list(doubtful_segmentation(torch.zeros(10, 10, 10), BRAIN)) == []


def test_a_segmentation_of_the_whole_brain_is_doubtful() -> None:
    (text,) = doubtful_segmentation(BRAIN.float(), BRAIN)
    assert "covers 100% of the brain" in text


@pytest.mark.parametrize(("start", "share"), [(6, "50%"), (8, "100%")])
def test_a_tumour_outside_the_brain_is_doubtful(start: int, share: str) -> None:
    tumour = torch.zeros(10, 10, 10)
    tumour[start : start + 4, 4:6, 4:6] = 1
    (text,) = doubtful_segmentation(tumour, BRAIN)
    assert f"has {share} of its voxels outside the brain" in text
