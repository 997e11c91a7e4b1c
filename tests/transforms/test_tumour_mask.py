"""The tumour image is the image inside the mask and background outside; crops follow the tumour."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utad_monai.transforms import BACKGROUND, CropTumour, CropTumourd, MaskTumour, MaskTumourd, mask_tumour


def image(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def box_mask(shape: tuple[int, ...], *box: slice) -> torch.Tensor:
    mask = torch.zeros(1, *shape)
    mask[(0, *box)] = 1
    return mask


def sides(box: tuple[slice, ...]) -> list[tuple[int, int]]:
    return [(part.start, part.stop) for part in box]


def test_outside_is_background_and_inside_is_the_image() -> None:
    x, mask = image(2, 1, 8, 8), (image(2, 1, 8, 8) > 0).float()
    tumour = mask_tumour(x, mask)
    assert (tumour[mask == 0] == BACKGROUND).all()
    torch.testing.assert_close(tumour[mask == 1], x[mask == 1])
    assert tumour.min() >= -1
    assert tumour.max() <= 1


def test_empty_mask_gives_background_everywhere() -> None:
    assert (mask_tumour(image(1, 8, 8), torch.zeros(1, 8, 8)) == BACKGROUND).all()


def test_full_mask_gives_the_image() -> None:
    torch.testing.assert_close(mask_tumour(image(1, 8, 8), torch.ones(1, 8, 8)), image(1, 8, 8))


def test_gradient_is_the_mask() -> None:
    x, mask = image(1, 8, 8).requires_grad_(), box_mask((8, 8), slice(2, 5), slice(3, 7))
    mask_tumour(x, mask).sum().backward()
    assert torch.equal(x.grad, mask)


def test_mask_of_one_channel_serves_all_modalities() -> None:
    x, mask = image(4, 8, 8), box_mask((8, 8), slice(2, 5), slice(3, 7))
    tumour = MaskTumour()(x, mask)
    assert tumour.shape == x.shape
    assert (tumour > BACKGROUND).any(dim=0).sum() == mask.sum()


def test_masking_twice_changes_nothing() -> None:
    x, mask = image(1, 8, 8), box_mask((8, 8), slice(2, 5), slice(3, 7))
    torch.testing.assert_close(mask_tumour(mask_tumour(x, mask), mask), mask_tumour(x, mask))


def test_crop_has_the_margin_on_every_side() -> None:
    mask = box_mask((40, 50), slice(20, 25), slice(10, 30))
    assert sides(CropTumour(margin=3, min_size=1).box(mask)) == [(17, 28), (7, 33)]
    assert sides(CropTumour(margin=0, min_size=1).box(mask)) == [(20, 25), (10, 30)]


def test_margin_ends_at_the_border() -> None:
    mask = box_mask((40, 50), slice(0, 5), slice(45, 50))
    assert sides(CropTumour(margin=3, min_size=1).box(mask)) == [(0, 8), (42, 50)]


def test_small_crop_grows_around_its_middle_to_the_smallest_size() -> None:
    mask = box_mask((40, 50), slice(20, 22), slice(10, 30))
    assert sides(CropTumour(margin=0, min_size=8).box(mask)) == [(17, 25), (10, 30)]


def test_small_crop_at_the_border_stays_inside() -> None:
    mask = box_mask((40, 50), slice(0, 1), slice(49, 50))
    assert sides(CropTumour(margin=0, min_size=16).box(mask)) == [(0, 16), (34, 50)]


def test_crop_is_never_larger_than_the_image() -> None:
    assert sides(CropTumour(margin=4, min_size=16).box(box_mask((6, 7), slice(2, 3), slice(2, 3)))) == [(0, 6), (0, 7)]


def test_empty_mask_keeps_the_whole_image() -> None:
    x = image(2, 9, 8, 7)
    assert torch.equal(CropTumour()(x, torch.zeros(1, 9, 8, 7)), x)


def test_crop_is_the_box_of_the_image() -> None:
    x, mask = image(2, 40, 30, 20), box_mask((40, 30, 20), slice(10, 14), slice(20, 25), slice(3, 4))
    crop = CropTumour(margin=2, min_size=5)(x, mask)
    assert torch.equal(crop, x[:, 8:16, 18:27, 1:6])


@given(
    size=st.integers(1, 40), start=st.integers(0, 39), length=st.integers(1, 40),
    margin=st.integers(0, 6), min_size=st.integers(1, 50),
)  # fmt: skip
def test_crop_holds_the_tumour_and_the_smallest_size(
    size: int, start: int, length: int, margin: int, min_size: int
) -> None:
    start = min(start, size - 1)
    stop = min(start + length, size)
    (box,) = CropTumour(margin, min_size).box(box_mask((size,), slice(start, stop)))
    assert 0 <= box.start <= max(0, start - margin)
    assert min(size, stop + margin) <= box.stop <= size
    assert box.stop - box.start >= min(min_size, size)


@pytest.mark.parametrize("transform", [MaskTumour(), CropTumour()])
def test_image_and_mask_of_other_shapes_are_refused(transform: MaskTumour | CropTumour) -> None:
    with pytest.raises(ValueError, match=r"differ in shape: \(8, 8\) and \(8, 9\)"):
        transform(image(1, 8, 8), torch.zeros(1, 8, 9))


def test_dictionary_versions_equal_the_array_versions() -> None:
    mask = box_mask((40, 50), slice(20, 25), slice(10, 30))
    data = {"real": image(1, 40, 50), "fake": -image(1, 40, 50), "mask": mask, "case_id": "case"}
    masked = MaskTumourd(["real", "fake"], "mask")(data)
    cropped = CropTumourd(["real", "fake"], "mask", margin=2, min_size=12)(data)
    for key in ("real", "fake"):
        assert torch.equal(masked[key], MaskTumour()(data[key], mask))
        assert torch.equal(cropped[key], CropTumour(2, 12)(data[key], mask))
    for result in (masked, cropped):
        assert torch.equal(result["mask"], mask)
        assert result["case_id"] == "case"
    assert torch.equal(data["real"], image(1, 40, 50))


def test_mask_may_be_cropped_with_the_images() -> None:
    data = {"real": image(1, 40, 50), "mask": box_mask((40, 50), slice(20, 25), slice(10, 30))}
    cropped = CropTumourd(["mask", "real"], "mask", margin=1, min_size=4)(data)
    assert cropped["mask"].shape == cropped["real"].shape == (1, 7, 22)
    assert cropped["mask"].sum() == 100


def test_dictionary_versions_skip_missing_keys_only_when_allowed() -> None:
    data = {"mask": torch.zeros(1, 8, 8)}
    for version in (MaskTumourd, CropTumourd):
        assert set(version("real", "mask", allow_missing_keys=True)(data)) == {"mask"}
        with pytest.raises(KeyError, match="real"):
            version("real", "mask")(data)
