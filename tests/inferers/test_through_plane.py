"""Smoothing from slice to slice touches neither background nor the plane."""

from __future__ import annotations

import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from utad_monai.inferers import smooth_through_plane


def striped() -> torch.Tensor:
    slices = torch.full((12, 6, 6), -1.0)
    slices[1:11, 1:5, 1:5] = torch.tensor([0.2, 0.6] * 5)[:, None, None]
    return slices


def test_stripes_become_fainter_and_the_mean_stays() -> None:
    smooth = smooth_through_plane(striped(), 2.0, 1.0)
    brain = striped() > -1
    assert float(smooth[brain].std()) < 0.1 * float(striped()[brain].std())
    assert float(smooth[brain].mean()) == pytest.approx(0.4, abs=0.02)


def test_background_is_neither_changed_nor_mixed_in() -> None:
    smooth = smooth_through_plane(striped(), 3.0, 1.0)
    assert torch.equal(smooth > -1, striped() > -1)
    assert float(smooth[smooth > -1].min()) > 0.2
    assert bool((smooth[striped() == -1] == -1).all())


def test_sigma_is_in_mm() -> None:
    thick, thin = smooth_through_plane(striped(), 3.0, 3.0), smooth_through_plane(striped(), 1.0, 1.0)
    torch.testing.assert_close(thick, thin)


def test_inside_the_brain_it_is_the_gaussian_of_scipy() -> None:
    slices = torch.rand(9, 4, 4) - 0.5
    expected = gaussian_filter1d(slices.numpy(), 1.5, axis=0, mode="constant")
    shares = gaussian_filter1d(torch.ones(9, 4, 4).numpy(), 1.5, axis=0, mode="constant")
    torch.testing.assert_close(smooth_through_plane(slices, 1.5, 1.0), torch.from_numpy(expected / shares))


def test_zero_changes_nothing_and_negative_is_refused() -> None:
    assert smooth_through_plane(striped(), 0.0, 1.0) is not None
    assert torch.equal(smooth_through_plane(striped(), 0.0, 1.0), striped())
    with pytest.raises(ValueError, match="at least 0"):
        smooth_through_plane(striped(), -1.0, 1.0)
    with pytest.raises(ValueError, match="slice_mm positive"):
        smooth_through_plane(striped(), 1.0, 0.0)
