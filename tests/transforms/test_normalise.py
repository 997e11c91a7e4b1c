"""Normalisation looks at the brain only, keeps it above the background, and can be undone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor

from utad_monai.transforms import (
    BACKGROUND,
    BRAIN_FLOOR,
    IntensityWindow,
    NormaliseBrain,
    NormaliseBraind,
    brain_window,
)

SHAPE = (1, 12, 10, 8)


def volume(seed: int = 0, lower: float = 100, upper: float = 900) -> MetaTensor:
    """Return a box of brain with known extremes in a background of 0."""
    draw = np.random.default_rng(seed)
    image = np.zeros(SHAPE, np.float32)
    image[0, 3:9, 2:8, 2:6] = draw.uniform(lower, upper, (6, 6, 4))
    image[0, 3, 2, 2:4] = lower, upper
    return MetaTensor(torch.from_numpy(image))


def brain_of(image: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(image) != 0


def test_window_is_of_the_brain_alone() -> None:
    image = volume()
    window = brain_window(image.as_tensor(), 0, 100)
    assert (window.lower, window.upper) == (100, 900)
    wide = torch.zeros(1, 40, 40, 40)
    wide[:, :12, :10, :8] = image
    assert brain_window(wide) == brain_window(image.as_tensor())


def test_window_ends_are_the_percentiles() -> None:
    image = torch.arange(1, 1001, dtype=torch.float32)
    assert brain_window(image) == IntensityWindow(6, 995)
    assert brain_window(image, 10, 80) == IntensityWindow(101, 800)


def test_window_sees_negative_brain_too() -> None:
    image = volume(lower=-50, upper=60)
    assert brain_window(image.as_tensor(), 0, 100) == IntensityWindow(-50, 60)


def test_background_is_exactly_minus_one() -> None:
    image = volume()
    normalised = NormaliseBrain()(image)
    assert normalised.dtype == torch.float32
    assert (normalised[~brain_of(image)] == BACKGROUND).all()


def test_background_stays_background_whatever_its_size_and_dark_brain_stays_brain() -> None:
    image = volume(lower=-50, upper=60)
    normalised = NormaliseBrain()(image)
    assert torch.equal(torch.as_tensor(normalised) > BACKGROUND, brain_of(image))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("percentiles", [(0, 100), (0.5, 99.5), (20, 80)])
def test_brain_is_strictly_above_the_background(percentiles: tuple[float, float], dtype: torch.dtype) -> None:
    image = volume()
    normalised = NormaliseBrain(*percentiles)(image).as_tensor().to(dtype)
    assert torch.equal(normalised > BACKGROUND, brain_of(image))
    assert normalised.max() <= 1


def test_ends_of_the_window_map_to_the_ends_of_the_range() -> None:
    image = volume()
    normalised = NormaliseBrain(0, 100)(image)
    assert normalised[0, 3, 2, 2] == BRAIN_FLOOR
    assert normalised[0, 3, 2, 3] == 1
    middle = IntensityWindow(100, 900).normalise(torch.tensor(500.0), torch.tensor(True))
    assert middle == 0


def test_outliers_are_clipped() -> None:
    image = volume()
    image[0, 5, 5, 3], image[0, 5, 5, 4] = 1e6, -1e6
    normalised = NormaliseBrain(1, 99)(image)
    assert normalised[0, 5, 5, 3] == 1
    assert normalised[0, 5, 5, 4] == BRAIN_FLOOR
    assert brain_window(image.as_tensor(), 1, 99).upper <= 900


def test_order_of_intensities_is_kept() -> None:
    image = volume()
    normalised = NormaliseBrain(0, 100)(image)
    ranks = torch.as_tensor(image[brain_of(image)]).argsort()
    assert (torch.as_tensor(normalised[brain_of(image)])[ranks].diff() >= 0).all()


def test_inverse_restores_intensities_inside_the_window() -> None:
    image = volume()
    normalise = NormaliseBrain()
    normalised = normalise(image)
    window = normalise.window_of(normalised)
    inside = (normalised > BRAIN_FLOOR) & (normalised < 1)
    restored = normalise.inverse(normalised)
    np.testing.assert_allclose(restored[inside].numpy(), image[inside].numpy(), rtol=1e-4)
    assert (restored[~brain_of(image)] == 0).all()
    assert restored.max() <= window.upper * 1.0001


def test_window_is_recorded_on_the_image() -> None:
    image = volume()
    normalise = NormaliseBrain(1, 99)
    assert normalise.window_of(normalise(image)) == brain_window(image.as_tensor(), 1, 99)


def test_each_image_is_inverted_with_its_own_window() -> None:
    normalise = NormaliseBrain(0, 100)
    dark, bright = normalise(volume(0, 100, 200)), normalise(volume(1, 1000, 2000))
    assert normalise.inverse(dark).max() == pytest.approx(200)
    assert normalise.inverse(bright).max() == pytest.approx(2000)


def test_affine_and_input_are_left_alone() -> None:
    affine = torch.diag(torch.tensor([-2.0, -2.0, 3.0, 1.0], dtype=torch.float64))
    image = MetaTensor(volume().as_tensor(), affine=affine)
    before = image.clone()
    assert torch.equal(NormaliseBrain()(image).affine, affine)
    assert torch.equal(image, before)
    assert not image.applied_operations


def test_plain_tensor_is_taken_too() -> None:
    assert torch.equal(NormaliseBrain()(volume().as_tensor()), NormaliseBrain()(volume()))  # type: ignore[arg-type]


@given(
    lower=st.floats(1, 1e4),
    width=st.floats(1, 1e5),
    shares=st.lists(st.floats(0, 1), min_size=1, max_size=20),
)
def test_round_trip_of_any_window(lower: float, width: float, shares: list[float]) -> None:
    window = IntensityWindow(lower, lower + width)
    inside = BRAIN_FLOOR + torch.tensor(shares, dtype=torch.float64) * (1 - BRAIN_FLOOR)
    intensities = (inside + 1) / 2 * width + lower
    brain = torch.ones(len(shares), dtype=torch.bool)
    normalised = window.normalise(intensities, brain)
    torch.testing.assert_close(window.denormalise(normalised), intensities, rtol=1e-9, atol=1e-9 * width)
    assert (normalised >= BRAIN_FLOOR).all()


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=20))
def test_outside_the_brain_everything_is_background_and_comes_back_as_zero(values: list[float]) -> None:
    window = IntensityWindow(10, 20)
    nothing = torch.zeros(len(values), dtype=torch.bool)
    normalised = window.normalise(torch.tensor(values), nothing)
    assert (normalised == BACKGROUND).all()
    assert (window.denormalise(normalised) == 0).all()


def test_empty_image_is_refused() -> None:
    with pytest.raises(ValueError, match="all zero"):
        NormaliseBrain()(MetaTensor(torch.zeros(SHAPE)))


def test_constant_brain_is_refused() -> None:
    image = MetaTensor((volume() != 0).to(torch.float32) * 7)
    with pytest.raises(ValueError, match=r"constant inside the brain \(7\)"):
        NormaliseBrain()(image)


def test_almost_constant_brain_is_refused_when_the_window_is_empty() -> None:
    image = torch.full((1, 10, 10, 10), 7.0)
    image[0, 0, 0, 0] = 8
    with pytest.raises(ValueError, match="constant"):
        NormaliseBrain()(MetaTensor(image))


@pytest.mark.parametrize("bounds", [(2.0, 2.0), (3.0, 2.0), (float("nan"), 2.0)])
def test_empty_window_is_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="upper > lower"):
        IntensityWindow(*bounds)


@pytest.mark.parametrize("percentiles", [(-1, 99), (50, 50), (99, 1), (0, 101)])
def test_percentiles_out_of_order_are_refused(percentiles: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="percentiles must be"):
        NormaliseBrain(*percentiles)


def test_dictionary_version_equals_the_array_version_and_inverts() -> None:
    data = {"t1": volume(0), "t2": volume(1, 10, 20), "case_id": "case"}
    transform = NormaliseBraind(["t1", "t2"], 0, upper_percentile=100)
    normalised = transform(data)
    for key in ("t1", "t2"):
        assert torch.equal(normalised[key], NormaliseBrain(0, 100)(data[key]))
    assert normalised["case_id"] == "case"
    restored = transform.inverse(normalised)
    assert restored["t1"].max() == pytest.approx(900)
    assert restored["t2"].max() == pytest.approx(20)


def test_dictionary_version_skips_missing_keys_only_when_allowed() -> None:
    assert set(NormaliseBraind(["t1", "t2"], allow_missing_keys=True)({"t1": volume()})) == {"t1"}
    with pytest.raises(KeyError, match="t2"):
        NormaliseBraind(["t1", "t2"])({"t1": volume()})
