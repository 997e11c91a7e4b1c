"""N4 flattens a bias field inside the brain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813

from utad_monai.apps.prepare.geometry import array_of, image_of
from utad_monai.apps.prepare.registration import correct_bias
from utad_monai.keys import Modality

Scanner = dict[str, Callable[..., Any]]


def test_a_known_field_becomes_flatter(stripped_head: Any) -> None:
    true = stripped_head.images[Modality.T1]
    mask = image_of(stripped_head.brain.astype(np.uint8), stripped_head.affine)
    x = np.linspace(-1, 1, true.GetSize()[0], dtype=np.float32)[:, None, None]
    field = np.exp(0.4 * x + 0.2 * x**2) * np.ones(true.GetSize(), np.float32)
    biased = true * image_of(field.astype(np.float32), stripped_head.affine)
    corrected = correct_bias(biased, mask)

    def spread(image: sitk.Image) -> float:
        ratio = array_of(image)[stripped_head.brain] / array_of(true)[stripped_head.brain]
        return float(ratio.std() / ratio.mean())

    assert spread(corrected) < 0.35 * spread(biased)
    assert corrected.GetPixelID() == sitk.sitkFloat32
    np.testing.assert_array_equal(array_of(correct_bias(biased, mask)), array_of(corrected))


def test_too_small_a_mask_leaves_the_image_alone(stripped_head: Any) -> None:
    image = stripped_head.images[Modality.T1]
    empty = sitk.Cast(image * 0, sitk.sitkUInt8)
    np.testing.assert_array_equal(array_of(correct_bias(image, empty)), array_of(image))
