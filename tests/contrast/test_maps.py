"""Intensity maps and their curves: what they do to a brain, and that they find what they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from utad_monai.contrast import ContrastMaps
from utad_monai.contrast.maps import GRID, KnotMeans, apply_curve, histogram_matching, mean, spread, stretched
from utad_monai.keys import Modality


@pytest.fixture
def maps() -> ContrastMaps:
    """Give identities, but T1 to T2 turns the contrast over, and T1ce to T2 goes to black."""
    identity = torch.from_numpy(GRID).float()
    curves, agreement = identity.repeat(4, 4, 1), torch.zeros(4, 4)
    curves[Modality.T1.channel, Modality.T2.channel] = 1 - identity
    curves[Modality.T1CE.channel, Modality.T2.channel] = 0
    agreement[Modality.T1.channel, Modality.T2.channel] = 0.7
    agreement[Modality.T1CE.channel, Modality.T2.channel] = 0.3
    return ContrastMaps(curves, agreement)


@pytest.fixture
def image() -> torch.Tensor:
    image = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0)) * 1.9 - 0.95
    image[:, :2] = -1
    return image


def test_a_curve_is_followed_between_its_knots_and_kept_at_its_ends() -> None:
    curve = torch.tensor([0.2, 0.6, 0.4])
    found = apply_curve(curve, torch.tensor([-1.0, 0.0, 0.25, 0.5, 0.75, 1.0, 2.0]))
    assert found.tolist() == pytest.approx([0.2, 0.2, 0.4, 0.6, 0.5, 0.4, 0.4])


def test_the_map_of_a_pair_is_applied_to_the_brain(maps: ContrastMaps, image: torch.Tensor) -> None:
    made = maps.translate(image, Modality.T1, Modality.T2)
    assert made[image > -1].numpy() == pytest.approx(-image[image > -1].numpy(), abs=1e-5)
    same = maps.translate(image, Modality.T1, Modality.T1)
    assert same.numpy() == pytest.approx(image.numpy(), abs=1e-5)


def test_background_stays_background_and_brain_stays_above_it(maps: ContrastMaps, image: torch.Tensor) -> None:
    for source in (Modality.T1, Modality.T1CE):
        made = maps.translate(image, source, Modality.T2)
        assert set(made[image == -1].tolist()) == {-1}
        assert float(made[image > -1].min()) > -1
        assert float(made.max()) <= 1


def test_several_sources_are_averaged_by_how_well_each_agrees(maps: ContrastMaps, image: torch.Tensor) -> None:
    images = {Modality.T1CE: image, Modality.T1: image}
    weights = [0.3**4, 0.7**4]
    black, turned = (maps.translate(image, source, Modality.T2) for source in images)
    wanted = (weights[0] * black + weights[1] * turned) / sum(weights)
    assert maps(images, Modality.T2).numpy() == pytest.approx(wanted.numpy(), abs=1e-4)


def test_sources_of_unknown_agreement_count_the_same(maps: ContrastMaps, image: torch.Tensor) -> None:
    made = maps({Modality.T2: image, Modality.T1CE: torch.where(image > -1, 0.5, -1.0)}, Modality.FLAIR)
    wanted = torch.where(image > -1, (image + 0.5) / 2, -1.0)
    assert made.numpy() == pytest.approx(wanted.numpy(), abs=1e-5)


def test_where_one_source_shows_no_brain_the_others_stand_alone(maps: ContrastMaps, image: torch.Tensor) -> None:
    cut = image.clone()
    cut[:, :, :4] = -1
    made = maps({Modality.T1: cut, Modality.T1CE: image}, Modality.T2)
    alone = maps.translate(image, Modality.T1CE, Modality.T2)
    assert torch.equal(made[:, :, :4], alone[:, :, :4])
    assert set(made[image == -1].tolist()) == {-1}


def test_no_source_is_an_error(maps: ContrastMaps) -> None:
    with pytest.raises(ValueError, match="t2 needs a source"):
        maps({}, Modality.T2)


FLAT = np.full(64, 1 / 64)


def test_means_by_intensity_give_back_a_line() -> None:
    intensities = np.random.default_rng(0).uniform(0, 1, 100_000)
    means = KnotMeans()
    means.add(intensities[:50_000], 0.8 - 0.5 * intensities[:50_000])
    means.add(intensities[50_000:], 0.8 - 0.5 * intensities[50_000:])
    assert means.curve() == pytest.approx(0.8 - 0.5 * GRID, abs=0.01)
    assert means.weights.sum() == pytest.approx(100_000)


def test_knots_without_voxels_follow_their_neighbours() -> None:
    means = KnotMeans()
    for intensity, value in ((GRID[10], 0.2), (GRID[20], 0.4)):
        means.add(np.full(100, intensity), np.full(100, value))
    curve = means.curve()
    assert curve[[0, 10, 15, 20, 63]] == pytest.approx([0.2, 0.2, 0.3, 0.4, 0.4])


def test_too_few_voxels_make_no_curve() -> None:
    means = KnotMeans()
    means.add(np.linspace(0, 1, 10), np.ones(10))
    assert not means.known
    with pytest.raises(ValueError, match="enough voxels"):
        means.curve()


def test_stretching_multiplies_the_spread_and_keeps_the_mean_within_the_range() -> None:
    curve = 0.4 + 0.2 * GRID
    wide = stretched(curve, FLAT, 3)
    assert mean(wide, FLAT) == pytest.approx(mean(curve, FLAT))
    assert spread(wide, FLAT) == pytest.approx(3 * spread(curve, FLAT))
    clipped = stretched(curve, FLAT, 100)
    assert (clipped.min(), clipped.max()) == (0, 1)


def test_matching_gives_the_target_its_histogram() -> None:
    draw = np.random.default_rng(0)
    source, target = draw.beta(2, 5, 200_000), draw.beta(6, 2, 200_000)
    histograms = [np.bincount((v * 63).round().astype(int), minlength=64) / len(v) for v in (source, target)]
    matched = np.interp(source, GRID, histogram_matching(*histograms))
    levels = (0.1, 0.3, 0.5, 0.7, 0.9)
    assert np.quantile(matched, levels) == pytest.approx(np.quantile(target, levels), abs=0.01)


def test_matching_copes_with_empty_intensities() -> None:
    lonely = np.zeros(64)
    lonely[30] = 1
    assert np.isfinite(histogram_matching(FLAT, lonely)).all()
    assert histogram_matching(FLAT, FLAT) == pytest.approx(GRID)
