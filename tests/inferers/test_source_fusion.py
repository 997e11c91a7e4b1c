"""Several translations become one, pixel by pixel and brain only."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from utad_monai.inferers import fuse
from utad_monai.keys import FusionMethod, Modality
from utad_monai.transforms import BRAIN_FLOOR

FLAIR, T1, T1CE, T2 = Modality
ERRORS = {T1: {FLAIR: 0.4, T1CE: 0.1, T2: 0.2}}


def image(value: float, *hole: int) -> Tensor:
    """Return one translation `(1, 2, 3, 3)` of one value; the pixels of `hole` (flat index) are background."""
    made = torch.full((1, 2, 3, 3), value)
    made.view(-1)[list(hole)] = -1.0
    return made


@pytest.fixture
def translations() -> dict[Modality, Tensor]:
    return {FLAIR: image(-0.5), T1CE: image(0.1), T2: image(0.7)}


@pytest.mark.parametrize(
    ("method", "value"),
    [
        (FusionMethod.BEST, 0.1),
        (FusionMethod.MEAN, 0.1),
        (FusionMethod.MEDIAN, 0.1),
        (FusionMethod.WEIGHTED, (256 * 0.1 + 16 * 0.7 + 1 * -0.5) / 273),
    ],
)
def test_three_sources_are_combined(translations: dict[Modality, Tensor], method: FusionMethod, value: float) -> None:
    fused = fuse(translations, method, T1, ERRORS)
    torch.testing.assert_close(fused.image, torch.full((2, 3, 3), value))
    assert sum(fused.weights.values()) == pytest.approx(1)


def test_median_of_two_is_their_middle() -> None:
    fused = fuse({FLAIR: image(-0.5), T2: image(0.7)}, FusionMethod.MEDIAN, T1, {})
    torch.testing.assert_close(fused.image, torch.full((2, 3, 3), 0.1))


def test_median_ignores_one_outlier_and_the_mean_does_not() -> None:
    made = {FLAIR: image(0.0), T1CE: image(0.02), T2: image(0.9)}
    assert float(fuse(made, FusionMethod.MEDIAN, T1, {}).image.max()) == pytest.approx(0.02)
    assert float(fuse(made, FusionMethod.MEAN, T1, {}).image.max()) == pytest.approx(0.92 / 3)


@pytest.mark.parametrize("method", [FusionMethod.MEAN, FusionMethod.WEIGHTED, FusionMethod.MEDIAN])
def test_pixels_that_one_source_shows_are_that_sources(method: FusionMethod) -> None:
    fused = fuse({FLAIR: image(-0.5, 0), T2: image(0.7, 1)}, method, T1, ERRORS)
    assert float(fused.image.view(-1)[0]) == pytest.approx(0.7)
    assert float(fused.image.view(-1)[1]) == pytest.approx(-0.5)
    assert float(fused.disagreement.view(-1)[0]) == 0


@pytest.mark.parametrize("method", FusionMethod)
def test_background_of_all_sources_stays_background(method: FusionMethod) -> None:
    fused = fuse({FLAIR: image(-0.5, 4), T2: image(0.7, 4)}, method, T1, ERRORS)
    assert float(fused.image.view(-1)[4]) == -1
    assert float(fused.disagreement.view(-1)[4]) == 0
    assert int((fused.image > -1).sum()) == 17


def test_dark_brain_never_becomes_background() -> None:
    dark = torch.full((1, 1, 2, 2), BRAIN_FLOOR)
    for method in FusionMethod:
        assert bool((fuse({FLAIR: dark, T2: dark}, method, T1, ERRORS).image > -1).all())


def test_disagreement_is_the_standard_deviation_over_all_translations() -> None:
    made = {FLAIR: torch.cat([image(-0.2), image(0.2)]), T2: torch.cat([image(0.4), image(0.0)])}
    expected = torch.tensor([-0.2, 0.2, 0.4, 0.0]).std(correction=0)
    for method in FusionMethod:
        torch.testing.assert_close(fuse(made, method, T1, ERRORS).disagreement, torch.full((2, 3, 3), float(expected)))


def test_a_source_counts_with_the_mean_of_its_translations() -> None:
    fused = fuse({FLAIR: torch.cat([image(-0.2), image(0.4)])}, FusionMethod.BEST, T1, ERRORS)
    torch.testing.assert_close(fused.image, torch.full((2, 3, 3), 0.1))


def test_best_gives_every_other_source_no_weight(translations: dict[Modality, Tensor]) -> None:
    assert fuse(translations, FusionMethod.BEST, T1, ERRORS).weights == {FLAIR: 0.0, T1CE: 1.0, T2: 0.0}


def test_one_translation_does_not_disagree() -> None:
    assert float(fuse({FLAIR: image(0.3)}, FusionMethod.BEST, T1, ERRORS).disagreement.abs().max()) == 0
