"""Volumes come into LPS order whatever their storage, and go back bit by bit."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor
from nibabel.affines import apply_affine
from nibabel.orientations import aff2axcodes, axcodes2ornt, inv_ornt_aff, ornt_transform

from utad_monai.transforms import OrientLPS, OrientLPSd, from_lps

ORIENTATIONS = [
    "".join(codes) for axes in permutations([("L", "R"), ("P", "A"), ("I", "S")]) for codes in product(*axes)
]
"""All 48 voxel orders."""
SHAPE = (5, 4, 3)
LPS_AFFINE = np.array([[-1.5, 0, 0, 18], [0, -2, 0, 15], [0, 0, 3, -18], [0, 0, 0, 1]])
ROTATION = np.array([[0.96, -0.28, 0, 0], [0.28, 0.96, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def stored_affine(codes: str, base: np.ndarray = LPS_AFFINE) -> np.ndarray:
    """Return the affine of a file in the order `codes` that shows the volume of `base`."""
    transform = ornt_transform(axcodes2ornt("LPS"), axcodes2ornt(codes))
    return base @ inv_ornt_aff(transform, SHAPE)


def stored_shape(codes: str) -> tuple[int, ...]:
    length = dict(zip("LRPAIS", np.repeat(SHAPE, 2), strict=True))
    return tuple(int(length[code]) for code in codes)


def volume(codes: str, base: np.ndarray = LPS_AFFINE) -> MetaTensor:
    """Return `(1, X, Y, Z)` in the order `codes`, whose values are all different."""
    shape = stored_shape(codes)
    array = torch.arange(1, 1 + int(np.prod(shape)), dtype=torch.float32).reshape(1, *shape)
    return MetaTensor(array, affine=torch.from_numpy(stored_affine(codes, base)))


def world_positions(image: MetaTensor) -> dict[float, tuple[float, ...]]:
    """Return where in the world each value lies."""
    indices = np.indices(image.shape[1:]).reshape(3, -1).T
    places = apply_affine(image.affine.numpy(), indices).round(6)
    return {float(image[0][tuple(index)]): tuple(place) for index, place in zip(indices, places, strict=True)}


def test_there_are_48_orders() -> None:
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_every_storage_becomes_lps_and_voxels_stay_where_they_are(codes: str) -> None:
    stored = volume(codes)
    assert "".join(aff2axcodes(stored.affine.numpy())) == codes
    oriented = OrientLPS()(stored)
    assert aff2axcodes(oriented.affine.numpy()) == ("L", "P", "S")
    assert tuple(oriented.shape[1:]) == SHAPE
    np.testing.assert_allclose(oriented.affine.numpy(), LPS_AFFINE, atol=1e-9)
    assert world_positions(oriented) == world_positions(stored)


@pytest.mark.parametrize("codes", ["LPS", "RAS", "SAR", "PIL"])
def test_oblique_storage_goes_to_the_closest_order(codes: str) -> None:
    stored = volume(codes, ROTATION @ LPS_AFFINE)
    oriented = OrientLPS()(stored)
    assert aff2axcodes(oriented.affine.numpy()) == ("L", "P", "S")
    assert world_positions(oriented) == world_positions(stored)
    restored = from_lps(oriented[0].numpy(), stored.affine.numpy())
    np.testing.assert_array_equal(restored, stored[0].numpy())


@given(codes=st.sampled_from(ORIENTATIONS), seed=st.integers(0, 2**32 - 1), dtype=st.sampled_from(["f4", "i2", "u1"]))
def test_from_lps_inverts_bit_exactly(codes: str, seed: int, dtype: str) -> None:
    bits = np.random.default_rng(seed).integers(0, 256, (*stored_shape(codes), np.dtype(dtype).itemsize), np.uint8)
    stored = bits.view(dtype)[..., 0]
    oriented = OrientLPS()(MetaTensor(torch.from_numpy(stored.copy())[None], affine=stored_affine(codes)))
    restored = from_lps(oriented[0].numpy(), stored_affine(codes))
    assert restored.dtype == stored.dtype
    assert restored.tobytes() == stored.tobytes()


def test_dictionary_version_equals_the_array_version() -> None:
    data = {"t1": volume("RAS"), "case_id": "case"}
    oriented = OrientLPSd("t1")(data)
    assert torch.equal(oriented["t1"], OrientLPS()(volume("RAS")))
    assert oriented["case_id"] == "case"
    assert set(OrientLPSd(["t1", "t2"], allow_missing_keys=True)(data)) == set(data)


def test_inverse_of_the_transform_brings_the_storage_back() -> None:
    stored = volume("SAR")
    orient = OrientLPS()
    restored = orient.inverse(orient(stored))
    assert torch.equal(restored, stored)
    np.testing.assert_allclose(restored.affine.numpy(), stored.affine.numpy())
