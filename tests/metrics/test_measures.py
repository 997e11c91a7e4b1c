"""The registry: one entry per measure, a perfect translation is best by it, and columns are called as in the files."""

from __future__ import annotations

import pytest
import torch

from utad_monai.keys import TumourRegion
from utad_monai.metrics.measures import (
    ALONE_MEASURES,
    BRAIN,
    HIGHER_IS_BETTER,
    IMAGE_MEASURES,
    SEGMENTATION_MEASURES,
    SET_MEASURES,
    SOURCE_MEASURES,
    VOLUME_MEASURES,
    Segmentation,
    TranslatedVolume,
    column,
    measured,
)

EVERY = (
    *(*IMAGE_MEASURES, *SOURCE_MEASURES, *SEGMENTATION_MEASURES, *ALONE_MEASURES, *SET_MEASURES),
    *(measure for measures in VOLUME_MEASURES.values() for measure in measures),
)


@pytest.fixture
def truth() -> torch.Tensor:
    regions = torch.zeros(3, 4, 24, 24)
    regions[:, 1:3, 8:14, 8:14] = 1
    return regions


@pytest.fixture
def real() -> torch.Tensor:
    image = torch.full((4, 24, 24), -1.0)
    image[:, 2:22, 2:22] = torch.rand(4, 20, 20, generator=torch.Generator().manual_seed(0)) - 0.5
    return image


def test_every_name_is_registered_once() -> None:
    assert len(HIGHER_IS_BETTER) == len(EVERY)


@pytest.mark.parametrize("measure", IMAGE_MEASURES, ids=lambda measure: measure.name)
def test_a_perfect_translation_is_at_least_as_good_as_a_noisy_one(
    measure: object, real: torch.Tensor, truth: torch.Tensor
) -> None:
    noise = torch.rand(real.shape, generator=torch.Generator().manual_seed(1)) * 0.5
    noisy = torch.where(real > -1, (real + noise).clamp(-0.99, 1), real)
    perfect, worse = (measured([measure], TranslatedVolume(made, real, truth=truth)) for made in (real, noisy))  # type: ignore[list-item]
    assert [cell[:2] for cell in perfect] == [cell[:2] for cell in worse]
    for (_, name, best), (_, _, other) in zip(perfect, worse, strict=True):
        better = HIGHER_IS_BETTER[name]
        if better is None:
            assert best == pytest.approx(1)
        else:
            assert best >= other if better else best <= other


def test_a_perfect_segmentation_is_perfect_by_every_measure(truth: torch.Tensor) -> None:
    cells = measured(SEGMENTATION_MEASURES, Segmentation(truth, truth, spacing_mm=(1.0, 1.0, 1.0)))
    assert {(measure, region): value for region, measure, value in cells} == {
        (measure, str(region)): float(measure == "dice")
        for measure in ("dice", "hd95", "volume_change")
        for region in TumourRegion
    }


def test_the_enhancing_error_looks_at_the_enhancing_region_alone() -> None:
    real, truth = torch.zeros(2, 16, 16), torch.zeros(3, 2, 16, 16)
    truth[:, :, 4:8, 4:8] = 1
    truth[0, :, 2:12, 2:12] = 1
    made = real.clone()
    made[:, 4:8, 4:8] = 0.4
    cells = measured(IMAGE_MEASURES, TranslatedVolume(made, real, truth=truth))
    found = {column(measure, region): value for region, measure, value in cells}
    assert found["enhancing_mae"] == pytest.approx(0.2, abs=1e-6)
    assert 0 < found["tumour_mae"] < 0.2


def test_columns_are_called_as_in_the_files() -> None:
    assert [column("ssim", region) for region in (BRAIN, "WT", "ET")] == ["ssim", "tumour_ssim", "enhancing_ssim"]
    assert [column(measure, "WT") for measure in ("dice", "s_score")] == ["dice_WT", "s_score_WT"]
    with pytest.raises(KeyError):
        column("ssim", "elsewhere")
