"""Saturated and vanishing intensities, copies, and segmentations of no tumour are told from sound ones."""

from __future__ import annotations

import pytest
import torch

from utad_monai.data.quality.soundness import SATURATED_SHARE, intensity_warnings, segmentation_warnings

BRAIN = torch.zeros(10, 10, 10, dtype=torch.bool)
BRAIN[2:8, 2:8, 2:8] = True
DRAW = torch.Generator().manual_seed(0)
SOUND = torch.randint(1, 1000, (1, 20, 20, 10), generator=DRAW).float()


def test_sound_intensities_are_fine() -> None:
    assert list(intensity_warnings(SOUND)) == []


@pytest.mark.parametrize(("largest", "warned"), [(700, True), (990, False)])
def test_saturation_is_named_with_its_share_and_value(largest: int, warned: bool) -> None:
    share = float((largest <= SOUND).float().mean())
    texts = list(intensity_warnings(SOUND.clamp_max(largest)))
    assert bool(texts) == (share > SATURATED_SHARE) == warned
    if warned:
        assert texts == [
            (f"is saturated: {share:.0%} of its foreground has the largest value, 700", "export it unclipped")
        ]


def test_background_does_not_count() -> None:
    padded = torch.cat([torch.zeros(1, 400, 20, 10), SOUND.clamp_max(700)], dim=1)
    assert list(intensity_warnings(padded)) == list(intensity_warnings(SOUND.clamp_max(700)))


def test_denormal_intensities_are_named() -> None:
    ((text, remedy),) = intensity_warnings(SOUND.double().mul(1e-44).float().where(SOUND > 500, SOUND * 1e-35))
    assert "vanishingly small (denormal)" in text
    assert remedy == "rescale it"


def test_an_empty_image_is_not_judged() -> None:
    assert list(intensity_warnings(torch.zeros(1, 4, 4, 4))) == []


def test_a_tumour_in_the_brain_is_fine() -> None:
    tumour = torch.zeros(10, 10, 10)
    tumour[3:5, 3:5, 3:5] = 1
    assert list(segmentation_warnings(tumour, BRAIN)) == []


def test_no_tumour_at_all_is_said() -> None:
    (text,) = segmentation_warnings(torch.zeros(10, 10, 10), BRAIN)
    assert "is empty" in text


def test_a_segmentation_of_the_whole_brain_is_warned_of() -> None:
    (text,) = segmentation_warnings(BRAIN.float(), BRAIN)
    assert "covers 100% of the brain" in text


@pytest.mark.parametrize(("start", "share"), [(6, "50%"), (8, "100%")])
def test_a_tumour_outside_the_brain_is_warned_of(start: int, share: str) -> None:
    tumour = torch.zeros(10, 10, 10)
    tumour[start : start + 4, 4:6, 4:6] = 1
    (text,) = segmentation_warnings(tumour, BRAIN)
    assert f"has {share} of its voxels outside the brain" in text
