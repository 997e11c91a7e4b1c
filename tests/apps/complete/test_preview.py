"""The picture of a case: the slice with the tumour, every image under its name, the patient's left on the right."""

from __future__ import annotations

import numpy as np
import torch
from PIL import ImageColor
from torch import Tensor

from utad_monai.apps.complete.preview import MADE, REAL, draw_preview, informative_slices
from utad_monai.keys import Modality

FLAIR, T1, T1CE, T2 = Modality


def brain(shape: tuple[int, int, int] = (40, 40, 30)) -> Tensor:
    """Return a brain that is the same on both sides, in [-1, 1]."""
    image = torch.full(shape, -1.0)
    image[5:35, 5:35, 3:27] = 0.0
    return image


def drawn(real: dict[Modality, Tensor], made: dict[Modality, Tensor], slices: tuple[int, ...] = (10,)) -> np.ndarray:
    return np.asarray(draw_preview(real, made, slices, spacing_mm=(1.0, 1.0), title="case x"))


def columns_of(picture: np.ndarray, colour: str) -> np.ndarray:
    """Return the columns in which a colour is drawn."""
    return np.flatnonzero((picture == ImageColor.getrgb(colour)).all(axis=2).any(axis=0))


def test_slice_with_a_tumour_on_one_side_is_shown() -> None:
    image = brain()
    image[10:16, 15:25, 20] = 1.0
    assert informative_slices([brain(), image], 1.0)[0] == 20


def test_second_slice_lies_apart_and_shows_enough_brain() -> None:
    image = brain()
    image[10:16, 15:25, 20] = 1.0
    image[10:16, 15:25, 22] = 0.9
    first, second = informative_slices([image], 1.0)
    assert first == 20
    assert abs(second - first) >= 15
    assert informative_slices([image], 0.1) == (20,)


def test_tip_of_a_brain_is_not_shown_however_its_sides_differ() -> None:
    image = brain()
    image[:, :, 3] = -1.0
    image[5:12, 5:35, 3] = 1.0
    image[10:12, 15:17, 20] = 0.2
    assert informative_slices([image], 1.0)[0] == 20


def test_synthetic_images_stand_right_and_are_framed_in_their_colour() -> None:
    picture = drawn({FLAIR: brain(), T1: brain()}, {T2: brain()})
    real, made = columns_of(picture, REAL), columns_of(picture, MADE)
    assert real.max() < made.min()
    assert len(columns_of(drawn({FLAIR: brain()}, {}), MADE)) == 0


def test_image_that_was_made_though_it_is_there_is_shown_beside_the_real_one() -> None:
    picture = drawn({T1: brain()}, {T1: brain()})
    assert columns_of(picture, REAL).max() < columns_of(picture, MADE).min()


def test_left_of_the_patient_is_on_the_right_and_anterior_above() -> None:
    image = brain()
    image[28:34, 6:12, 10] = 1.0  # left, anterior: x grows to the left, y to posterior
    picture = drawn({T1: image}, {})
    rows, columns = np.nonzero((picture == 255).all(axis=2) & (np.arange(picture.shape[0]) > 50)[:, None])
    assert columns.mean() > picture.shape[1] / 2
    assert rows.mean() < picture.shape[0] / 2


def test_slices_of_flat_voxels_keep_their_shape() -> None:
    tall = np.asarray(draw_preview({T1: brain()}, {}, (10,), spacing_mm=(1.0, 2.0), title=""))
    square = drawn({T1: brain()}, {})
    assert tall.shape[1] < square.shape[1]
    assert tall.shape[0] == square.shape[0]
