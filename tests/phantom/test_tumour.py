"""The tumour has the drawn volume, nested parts and a place inside the brain."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from utad_monai.phantom.anatomy import Anatomy, LabelArray, Lesion, box_affine, deform_template
from utad_monai.phantom.mr_signal import TissueClass
from utad_monai.phantom.tumour import (
    BRATS_ENHANCING,
    BRATS_NECROSIS,
    BRATS_OEDEMA,
    TUMOUR,
    blend_tumour,
    draw_lesion,
    grow_tumour,
)

SPACING_MM = 2.0


@pytest.fixture(scope="module")
def lesion() -> Lesion:
    return draw_lesion(np.random.default_rng(3))


@pytest.fixture(scope="module")
def anatomy(lesion: Lesion) -> Anatomy:
    return deform_template(lesion, SPACING_MM, np.random.default_rng(3))


@pytest.fixture(scope="module")
def labels(lesion: Lesion, anatomy: Anatomy) -> LabelArray:
    return grow_tumour(lesion, anatomy, SPACING_MM, np.random.default_rng(3))


def test_drawn_volumes_span_their_range() -> None:
    volumes_ml = [4 / 3 * np.pi * draw_lesion(np.random.default_rng(i)).radius_mm ** 3 / 1000 for i in range(100)]
    low, high = TUMOUR.volume_ml
    assert low <= min(volumes_ml) < 1.2 * low
    assert 0.8 * high < max(volumes_ml) <= high


def test_whole_tumour_has_its_volume_and_is_one_piece(lesion: Lesion, labels: LabelArray) -> None:
    volume_mm3 = (labels > 0).sum() * SPACING_MM**3
    assert volume_mm3 == pytest.approx(4 / 3 * np.pi * lesion.radius_mm**3, rel=0.1)
    assert ndimage.label(labels > 0)[1] == 1


def test_tumour_is_where_it_was_drawn(lesion: Lesion, labels: LabelArray) -> None:
    core = np.isin(labels, [BRATS_NECROSIS, BRATS_ENHANCING])
    centre_mm = nib.affines.apply_affine(box_affine(SPACING_MM), np.argwhere(core).mean(axis=0))
    assert abs(lesion.centre_mm[0]) > 15
    assert np.linalg.norm(centre_mm - lesion.centre_mm) < 15


def test_a_patient_is_the_same_at_both_spacings(lesion: Lesion, labels: LabelArray) -> None:
    anatomy = deform_template(lesion, 1.0, np.random.default_rng(3))
    fine = grow_tumour(lesion, anatomy, 1.0, np.random.default_rng(3)) > 0
    halved = fine.reshape(96, 2, 112, 2, 96, 2).mean(axis=(1, 3, 5)) > 0.5
    assert 2 * (halved & (labels > 0)).sum() / (halved.sum() + (labels > 0).sum()) > 0.9


def test_parts_have_their_shares(labels: LabelArray) -> None:
    core = np.isin(labels, [BRATS_NECROSIS, BRATS_ENHANCING]).sum()
    low, high = TUMOUR.core_share
    assert low - 0.01 < core / (labels > 0).sum() < high + 0.01
    low, high = TUMOUR.necrosis_share
    assert low - 0.01 < (labels == BRATS_NECROSIS).sum() / core < high + 0.01


def test_tumour_is_inside_the_brain_and_avoids_csf(anatomy: Anatomy, labels: LabelArray) -> None:
    assert not (labels[~anatomy.brain] > 0).any()
    csf = anatomy.tissue[TissueClass.CSF]
    inside = labels[anatomy.brain] > 0
    assert csf[inside].mean() < 0.5 * csf[~inside].mean()


def test_rim_lies_between_necrosis_and_oedema(anatomy: Anatomy, labels: LabelArray) -> None:
    distance = np.linalg.norm(anatomy.from_lesion_mm, axis=0)
    inside = labels[anatomy.brain]
    necrosis, rim, oedema = (
        distance[inside == label].mean() for label in (BRATS_NECROSIS, BRATS_ENHANCING, BRATS_OEDEMA)
    )
    assert necrosis < rim < oedema


def test_oedema_prefers_white_matter(anatomy: Anatomy, labels: LabelArray) -> None:
    shell = ndimage.binary_dilation(labels > 0, iterations=3)[anatomy.brain] & (labels[anatomy.brain] == 0)
    oedema = labels[anatomy.brain] == BRATS_OEDEMA
    white = anatomy.tissue[TissueClass.WHITE]
    assert white[oedema].mean() > white[shell].mean() + 0.1


def test_blend_keeps_a_partition_and_leaves_distant_tissue_alone(anatomy: Anatomy, labels: LabelArray) -> None:
    fractions = blend_tumour(labels, anatomy, SPACING_MM, np.random.default_rng(3))
    assert fractions.shape == (len(TissueClass), anatomy.brain.sum())
    assert fractions.min() >= -1e-6
    np.testing.assert_allclose(fractions.sum(axis=0), 1, atol=1e-5)
    distant = ~ndimage.binary_dilation(labels > 0, iterations=6)[anatomy.brain]
    np.testing.assert_array_equal(fractions[:3, distant], anatomy.tissue[:, distant])


@pytest.mark.parametrize(
    ("label", "tissue"),
    [
        (BRATS_OEDEMA, TissueClass.OEDEMA),
        (BRATS_NECROSIS, TissueClass.NECROSIS),
        (BRATS_ENHANCING, TissueClass.ENHANCING),
    ],
)
def test_each_label_is_mostly_its_own_tissue(
    anatomy: Anatomy, labels: LabelArray, label: int, tissue: TissueClass
) -> None:
    fractions = blend_tumour(labels, anatomy, SPACING_MM, np.random.default_rng(3))
    inside = labels[anatomy.brain] == label
    assert fractions[tissue, inside].mean() > 0.5
    assert fractions[tissue, ~inside].mean() < 0.05
