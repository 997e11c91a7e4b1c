"""The frame follows the brain, keeps its edge bright, and brings slices back onto the volume's grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utad_monai.transforms import BACKGROUND, BRAIN_FLOOR, FramePlacement, LabelsToTumourRegions, SliceFrame

SHAPE = (24, 20, 6)


def ellipsoid(shape: tuple[int, ...] = SHAPE, shift: tuple[int, ...] = (0, 0, 0), share: float = 0.8) -> torch.Tensor:
    """Return a brain mask in the middle of a volume, moved by `shift` voxels."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, size) for size in shape], indexing="ij"))
    return torch.from_numpy(np.sqrt((grid**2).sum(axis=0)) < share).roll(shift, (0, 1, 2))


def image_of(brain: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Return a normalised volume: noise inside the brain, background outside."""
    noise = torch.rand(brain.shape, generator=torch.Generator().manual_seed(seed)) * 1.9 - 0.9
    return torch.where(brain, noise, BACKGROUND)


def constant(brain: torch.Tensor, value: float) -> torch.Tensor:
    return torch.where(brain, value, BACKGROUND)


def test_frame_is_measured_in_mm_along_y_and_x() -> None:
    placement = SliceFrame((30, 48), (16, 16)).place(ellipsoid(), spacing=(2.0, 1.5, 3.0))
    assert placement.size == (20, 24)
    assert placement.plane_shape == (20, 24)


def test_frame_is_at_least_one_voxel() -> None:
    assert SliceFrame((1, 1), (16, 16)).place(ellipsoid(), spacing=(9, 9, 9)).size == (1, 1)


@pytest.mark.parametrize("shift", [(0, 0, 0), (2, -1, 0), (-2, 1, 1)])
def test_centre_follows_the_brain(shift: tuple[int, int, int]) -> None:
    frame = SliceFrame((16, 20), (16, 16))
    middle = frame.place(ellipsoid(), (1, 1, 1)).start
    assert middle == (2, 2)
    assert frame.place(ellipsoid(shift=shift), (1, 1, 1)).start == (2 + shift[1], 2 + shift[0])


@pytest.mark.parametrize("shift", [(0, 0, 0), (2, -1, 0), (-2, 1, 1)])
def test_slices_do_not_depend_on_where_the_brain_lies(shift: tuple[int, int, int]) -> None:
    frame = SliceFrame((24, 24), (16, 16))
    brain, moved = ellipsoid(), ellipsoid(shift=shift)
    image = image_of(brain)
    slices = frame.image_to_slices(image, frame.place(brain, (1, 1, 1)))
    again = frame.image_to_slices(image.roll(shift, (0, 1, 2)), frame.place(moved, (1, 1, 1)))
    assert torch.equal(again, slices.roll(shift[2], 0))


def test_slices_do_not_depend_on_the_matrix() -> None:
    frame = SliceFrame((24, 24), (16, 16))
    brain = ellipsoid()
    wide_brain = torch.nn.functional.pad(brain, (0, 0, 9, 4, 3, 6))
    slices = frame.image_to_slices(image_of(brain), frame.place(brain, (1, 1, 1)))
    wide = torch.nn.functional.pad(image_of(brain), (0, 0, 9, 4, 3, 6), value=BACKGROUND)
    assert torch.equal(frame.image_to_slices(wide, frame.place(wide_brain, (1, 1, 1))), slices)


def test_rows_run_along_y_and_columns_along_x() -> None:
    brain = torch.zeros(8, 8, 3, dtype=torch.bool)
    brain[1:7, 1:7] = True
    image = constant(brain, 0.0)
    image[2, 5, 1] = 1.0
    frame = SliceFrame((8, 8), (8, 8))
    slices = frame.image_to_slices(image, frame.place(brain, (1, 1, 1)))
    assert slices.shape == (3, 8, 8)
    assert (slices == 1).nonzero().tolist() == [[1, 5, 2]]


def test_empty_brain_has_no_place() -> None:
    with pytest.raises(ValueError, match="no brain"):
        SliceFrame((8, 8), (8, 8)).place(torch.zeros(SHAPE, dtype=torch.bool), (1, 1, 1))


@given(shift=st.tuples(st.integers(-2, 2), st.integers(-2, 2), st.integers(-1, 1)), seed=st.integers(0, 1000))
def test_round_trip_is_exact_when_pixels_are_voxels(shift: tuple[int, int, int], seed: int) -> None:
    brain = ellipsoid(shift=shift)
    image = image_of(brain, seed)
    frame = SliceFrame((32, 32), (32, 32))
    placement = frame.place(brain, (1, 1, 1))
    slices = frame.image_to_slices(image, placement)
    inside = torch.sort(slices[slices > BACKGROUND]).values
    torch.testing.assert_close(inside, torch.sort(image[brain]).values, rtol=0, atol=1e-6)
    torch.testing.assert_close(frame.slices_to_image(slices, placement, brain), image, rtol=0, atol=1e-6)


def test_same_size_is_passed_through_without_interpolation() -> None:
    brain = ellipsoid()
    image = image_of(brain)
    frame = SliceFrame((20, 24), (20, 24))
    slices = frame.image_to_slices(image, frame.place(brain, (1, 1, 1)))
    torch.testing.assert_close(slices, image.permute(2, 1, 0), rtol=0, atol=1e-6)


@pytest.mark.parametrize("pixels", [16, 32, 48])
def test_edge_of_the_brain_is_not_darkened(pixels: int) -> None:
    brain = ellipsoid()
    frame = SliceFrame((24, 24), (pixels, pixels))
    slices = frame.image_to_slices(constant(brain, 0.7), frame.place(brain, (1, 1, 1)))
    painted = slices[slices > BACKGROUND]
    assert len(painted)
    torch.testing.assert_close(painted, torch.full_like(painted, 0.7))


def test_shrinking_averages_every_voxel() -> None:
    brain = torch.ones(24, 24, 1, dtype=torch.bool)
    frame = SliceFrame((24, 24), (6, 6))
    placement = frame.place(brain, (1, 1, 1))
    for x in range(8, 12):
        for y in range(8, 12):
            image = constant(brain, 0.0)
            image[x, y] = 1.0
            assert frame.image_to_slices(image, placement).max() > 0.01


@pytest.mark.parametrize("pixels", [16, 32, 48])
def test_brain_keeps_its_area_and_background_is_exactly_minus_one(pixels: int) -> None:
    brain = ellipsoid()
    frame = SliceFrame((24, 24), (pixels, pixels))
    slices = frame.image_to_slices(image_of(brain), frame.place(brain, (1, 1, 1)))
    voxels = brain.sum() * (pixels / 24) ** 2
    assert (slices > BACKGROUND).sum() == pytest.approx(float(voxels), rel=0.1)
    assert slices.min() == BACKGROUND
    assert slices[slices > BACKGROUND].min() >= BRAIN_FLOOR
    assert slices.max() <= 1


def test_darkest_brain_stays_clear_of_the_background() -> None:
    brain = ellipsoid()
    frame = SliceFrame((24, 24), (32, 32))
    slices = frame.image_to_slices(constant(brain, BACKGROUND + 1e-4), frame.place(brain, (1, 1, 1)))
    assert set(slices.unique().tolist()) == {BACKGROUND, BRAIN_FLOOR}


def test_frame_may_leave_the_volume() -> None:
    brain = torch.zeros(SHAPE, dtype=torch.bool)
    brain[:6, -6:] = True
    frame = SliceFrame((16, 16), (16, 16))
    placement = frame.place(brain, (1, 1, 1))
    assert placement.start == (9, -5)
    assert not placement.cuts(brain)
    image = image_of(brain)
    slices = frame.image_to_slices(image, placement)
    assert slices.shape == (6, 16, 16)
    torch.testing.assert_close(slices[:, 5:11, 5:11], image[:6, -6:].permute(2, 1, 0), rtol=0, atol=1e-6)
    assert (slices > BACKGROUND).sum() == brain.sum()
    torch.testing.assert_close(frame.slices_to_image(slices, placement, brain), image, rtol=0, atol=1e-6)


def test_brain_larger_than_the_frame_is_told() -> None:
    brain = torch.zeros(SHAPE, dtype=torch.bool)
    brain[4:20, 4:16] = True
    fits = SliceFrame((12, 16), (16, 16)).place(brain, (1, 1, 1))
    assert not fits.cuts(brain)
    assert SliceFrame((11, 16), (16, 16)).place(brain, (1, 1, 1)).cuts(brain)
    assert SliceFrame((12, 15), (16, 16)).place(brain, (1, 1, 1)).cuts(brain)


def test_cuts_looks_at_rows_and_columns() -> None:
    brain = torch.zeros(SHAPE, dtype=torch.bool)
    brain[20, 3, 2] = True
    assert not FramePlacement((20, 24), (3, 20), size=(1, 1)).cuts(brain)
    assert FramePlacement((20, 24), (20, 3), size=(1, 1)).cuts(brain)
    assert not FramePlacement((20, 24), (-5, 15), size=(10, 10)).cuts(brain)


@pytest.mark.parametrize("pixels", [16, 32])
def test_regions_stay_nested_and_binary(pixels: int) -> None:
    draw = np.random.default_rng(0)
    labels = torch.from_numpy(draw.integers(0, 4, (1, *SHAPE)).astype(np.uint8))
    frame = SliceFrame((24, 24), (pixels, pixels))
    placement = frame.place(ellipsoid(), (1, 1, 1))
    regions = frame.regions_to_slices(LabelsToTumourRegions()(labels), placement)
    assert regions.shape == (3, 6, pixels, pixels)
    assert set(regions.unique().tolist()) == {0.0, 1.0}
    assert (regions[:-1] >= regions[1:]).all()


def test_regions_are_exact_when_pixels_are_voxels() -> None:
    labels = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (1, *SHAPE)).astype(np.uint8))
    regions = LabelsToTumourRegions()(labels)
    frame = SliceFrame((20, 24), (20, 24))
    slices = frame.regions_to_slices(regions, frame.place(ellipsoid(), (1, 1, 1)))
    assert torch.equal(slices, regions.permute(0, 3, 2, 1))


def test_pixel_belongs_to_a_region_that_covers_half_of_it() -> None:
    region = torch.zeros(1, 8, 8, 2)
    region[0, :, :4] = 1
    region[0, 0, 4:] = 1
    frame = SliceFrame((8, 8), (1, 1))
    placement = FramePlacement((8, 8), (0, 0), size=(8, 8))
    assert frame.regions_to_slices(region, placement).tolist() == [[[[1.0]], [[1.0]]]]
    assert frame.regions_to_slices(torch.zeros_like(region), placement).max() == 0


@pytest.mark.parametrize("pixels", [16, 32])
@pytest.mark.parametrize("frame_mm", [12, 24, 40])
def test_volume_from_slices_is_brain_exactly_where_the_mask_says(frame_mm: int, pixels: int) -> None:
    brain = ellipsoid()
    frame = SliceFrame((frame_mm, frame_mm), (pixels, pixels))
    placement = frame.place(brain, (1, 1, 1))
    slices = frame.image_to_slices(image_of(brain), placement)
    other = ellipsoid(shift=(1, 1, 0))
    for mask in (brain, other):
        restored = frame.slices_to_image(slices, placement, mask)
        assert torch.equal(restored > BACKGROUND, mask)
        assert restored.shape == brain.shape
        assert restored.max() <= 1


def test_voxels_that_no_slice_paints_take_the_nearest_value() -> None:
    brain = torch.ones(9, 9, 1, dtype=torch.bool)
    placement = FramePlacement((9, 9), (3, 3), size=(3, 3))
    slices = torch.tensor([[[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]]])
    restored = SliceFrame((3, 3), (3, 3)).slices_to_image(slices, placement, brain)[..., 0].T
    torch.testing.assert_close(restored[0, 0], torch.tensor(0.1))
    torch.testing.assert_close(restored[8, 8], torch.tensor(0.9))
    torch.testing.assert_close(restored[4, 0], torch.tensor(0.4))
    torch.testing.assert_close(restored[3:6, 3:6], slices[0])


def test_voxel_at_the_edge_takes_the_pixels_that_cover_a_little_of_it() -> None:
    brain = torch.ones(2, 1, 1, dtype=torch.bool)
    slices = torch.tensor([[[BACKGROUND, BACKGROUND, 0.5, 0.2]]])
    restored = SliceFrame((1, 2), (1, 4)).slices_to_image(slices, FramePlacement((1, 2), (0, 0), size=(1, 2)), brain)
    torch.testing.assert_close(restored.flatten(), torch.tensor([0.5, 0.35]))


def test_volume_from_empty_slices_is_still_brain_where_the_mask_says() -> None:
    brain = ellipsoid()
    frame = SliceFrame((24, 24), (16, 16))
    placement = frame.place(brain, (1, 1, 1))
    restored = frame.slices_to_image(torch.full((6, 16, 16), BACKGROUND), placement, brain)
    assert torch.equal(restored > BACKGROUND, brain)


def test_smooth_image_comes_back_nearly_the_same_through_other_pixels() -> None:
    brain = ellipsoid()
    grid = torch.linspace(-1, 1, 24)[:, None, None] * torch.ones(SHAPE)
    image = torch.where(brain, 0.4 * grid, BACKGROUND)
    frame = SliceFrame((24, 24), (32, 32))
    placement = frame.place(brain, (1, 1, 1))
    restored = frame.slices_to_image(frame.image_to_slices(image, placement), placement, brain)
    assert (restored - image)[brain].abs().max() < 0.06
