"""Painted slices: whole fractions, patients that do not depend on each other, and what the numbers of a patient do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from utad_monai.phantom.acquisition import TUMOUR_TISSUES, TeachingTissue
from utad_monai.phantom.patient import TeachingPatient
from utad_monai.phantom.plane import BrainSlices, paint_slices

DrawPatients = Callable[..., list[TeachingPatient]]
SIZE, PIXEL_MM = (48, 40), 5.0
TUMOUR = slice(TUMOUR_TISSUES[0], None)


def paint(*patients: TeachingPatient) -> BrainSlices:
    return paint_slices(patients, SIZE, PIXEL_MM)


def with_numbers(patient: TeachingPatient, **numbers: float) -> TeachingPatient:
    return replace(patient, numbers=patient.numbers | numbers)


def with_focus(patient: TeachingPatient, **values: npt.ArrayLike) -> TeachingPatient:
    """Return the patient with other numbers of its first focus."""
    foci = {name: array.copy() for name, array in patient.foci.items()}
    for name, value in values.items():
        foci[name][0] = value
    return replace(patient, foci=foci)


@pytest.fixture
def healthy(draw_patients: DrawPatients) -> TeachingPatient:
    """A patient without tumour, cut through the lateral ventricles, upright."""
    (patient,) = draw_patients(1, tumour_fraction=0.0, white_spots=0.0, rotation_degrees=0.0)
    return replace(patient, slice_mm=20.0)


@pytest.fixture
def ill(draw_patients: DrawPatients) -> TeachingPatient:
    """A patient with one large tumour on the right, in front."""
    (patient,) = draw_patients(
        1, tumour_fraction=1.0, several_foci=0.0, white_spots=0.0, rotation_degrees=0.0, low_grade=0.0
    )
    patient = with_focus(patient, centre=(28.0, 25.0, 18.0), radius=22.0, mass=0.0, grey_barrier=0.1)
    return replace(patient, slice_mm=20.0)


def test_fractions_sum_to_one_in_the_brain_and_are_0_outside(draw_patients: DrawPatients) -> None:
    painted = paint(*draw_patients(12))
    assert painted.fractions.shape == (12, len(TeachingTissue), *SIZE)
    assert float(painted.fractions.min()) >= 0
    sums = painted.fractions.sum(dim=1)
    torch.testing.assert_close(sums, painted.brain.to(sums.dtype), atol=1e-5, rtol=0)
    assert not bool((painted.tumour & ~painted.brain).any())


def test_every_slice_shows_a_good_deal_of_brain(draw_patients: DrawPatients) -> None:
    shares = paint(*draw_patients(24), *draw_patients(24, tumour_fraction=0.0)).brain.flatten(1).float().mean(dim=1)
    assert float(shares.min()) > 0.05
    assert float(shares.max()) < 0.7


def test_a_patient_is_painted_the_same_whatever_the_others_are(draw_patients: DrawPatients) -> None:
    patients = draw_patients(5)
    together = paint(*patients)
    for place in range(5):
        alone = paint(patients[place])
        torch.testing.assert_close(alone.fractions[0], together.fractions[place], atol=1e-4, rtol=0)
        assert bool((alone.brain[0] == together.brain[place]).all())
    turned = paint(*patients[::-1])
    torch.testing.assert_close(turned.fractions.flip(0), together.fractions, atol=1e-4, rtol=0)


def test_patients_look_different(draw_patients: DrawPatients) -> None:
    first, second = (replace(patient, slice_mm=20.0) for patient in draw_patients(2, tumour_fraction=0.0))
    painted = paint(first, second)
    assert float((painted.fractions[0] - painted.fractions[1]).abs().mean()) > 0.01


def test_other_pixels_show_the_same_brain(draw_patients: DrawPatients) -> None:
    patients = draw_patients(4)
    coarse, fine = paint(*patients), paint_slices(patients, (96, 80), PIXEL_MM / 2)
    shrunk = functional.avg_pool2d(fine.fractions, 2)
    inside = coarse.brain & (functional.avg_pool2d(fine.brain.float(), 2) == 1)
    apart = (shrunk - coarse.fractions).abs().sum(dim=1)
    others = (shrunk.roll(1, dims=0) - coarse.fractions).abs().sum(dim=1)
    assert float(apart[inside].mean()) < 0.4 * float(others[inside].mean())
    areas = fine.brain.sum(dim=(1, 2)) / (4 * coarse.brain.sum(dim=(1, 2)))
    torch.testing.assert_close(areas, torch.ones(4), atol=0.03, rtol=0)


def test_the_tumour_is_outlined_where_its_tissue_is(ill: TeachingPatient) -> None:
    painted = paint(ill)
    share = painted.fractions[0, TUMOUR].sum(dim=0)
    assert int(painted.tumour.sum()) > 20
    assert bool((painted.tumour[0] == (share > 0.35)).all())


def test_a_patient_without_tumour_has_none(healthy: TeachingPatient) -> None:
    painted = paint(healthy)
    assert not bool(painted.tumour.any())
    assert float(painted.fractions[:, TUMOUR].abs().max()) == 0


def test_white_spots_are_bright_matter_that_nobody_outlines(healthy: TeachingPatient) -> None:
    painted = paint(with_numbers(healthy, white_spots=1.0))
    assert float(painted.fractions[0, TeachingTissue.OEDEMA].sum()) > 0.5
    assert not bool(painted.tumour.any())


def test_the_front_is_on_top_and_the_right_side_on_the_left(ill: TeachingPatient) -> None:
    rows, columns = torch.nonzero(paint(ill).tumour[0], as_tuple=True)
    assert float(rows.float().mean()) < SIZE[0] / 2 - 2
    assert float(columns.float().mean()) < SIZE[1] / 2 - 2


def test_foci_lie_within_each_other(ill: TeachingPatient) -> None:
    ill = with_focus(ill, core=0.8, fluid=0.5, non_enhancing=-3.0, edge=0.05, core_edge=0.02, roughness=0.05, aside=0.0)
    fractions = paint(ill).fractions[0]
    rows, columns = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
    mask = paint(ill).tumour[0]
    middle = rows[mask].float().mean(), columns[mask].float().mean()
    distance = ((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2).sqrt()

    def reach(tissue: TeachingTissue) -> float:
        weights = fractions[tissue] * mask
        assert float(weights.sum()) > 1
        return float((weights * distance).sum() / weights.sum())

    assert reach(TeachingTissue.NECROSIS) < reach(TeachingTissue.ENHANCING) < reach(TeachingTissue.OEDEMA)


@pytest.mark.parametrize(
    ("non_enhancing", "tissue"), [(-3.0, TeachingTissue.ENHANCING), (1.2, TeachingTissue.NON_ENHANCING)]
)
def test_solid_tumour_enhances_or_does_not(ill: TeachingPatient, non_enhancing: float, tissue: TeachingTissue) -> None:
    fractions = paint(with_focus(ill, non_enhancing=non_enhancing, fluid=0.0)).fractions[0]
    solid = fractions[[TeachingTissue.ENHANCING, TeachingTissue.NON_ENHANCING]].sum()
    assert float(fractions[tissue].sum() / solid) > 0.6
    assert float(fractions[TeachingTissue.NECROSIS].sum()) == 0


def csf(painted: BrainSlices) -> Tensor:
    """Return CSF about the ventricles, one number a slice."""
    return painted.fractions[:, TeachingTissue.CSF, 16:32, 14:26].sum(dim=(1, 2))


def test_ventricles_grow_with_their_number(healthy: TeachingPatient) -> None:
    small, middle, large = csf(paint(*(with_numbers(healthy, ventricles=growth) for growth in (-0.6, 0.0, 0.6))))
    assert float(small) < 0.97 * float(middle)
    assert float(middle) < 0.97 * float(large)


def test_atrophy_is_more_fluid(healthy: TeachingPatient) -> None:
    painted = paint(*(with_numbers(healthy, atrophy=excess) for excess in (0.6, 1.0, 1.6)))
    less, some, more = painted.fractions[:, TeachingTissue.CSF].sum(dim=(1, 2)).tolist()
    assert less < some < more


def test_mass_effect_pushes_healthy_tissue_aside_and_leaves_the_tumour(ill: TeachingPatient) -> None:
    still, pushed = (paint(with_focus(ill, mass=mass)) for mass in (0.0, 0.45))
    rest = ~still.tumour & still.brain
    moved = (still.fractions - pushed.fractions).abs().sum(dim=1)
    assert float(moved[rest].mean()) > 0.02
    assert float((still.tumour ^ pushed.tumour).sum()) < 0.25 * float(still.tumour.sum())


def test_deep_grey_matter_is_in_the_middle(healthy: TeachingPatient) -> None:
    fractions = paint(replace(healthy, slice_mm=4.0)).fractions[0]
    middle = np.array(SIZE)[:, None, None] / 2
    distance = torch.from_numpy(np.sqrt((((np.indices(SIZE) - middle) * PIXEL_MM) ** 2).sum(axis=0)))
    deep, cortex = fractions[TeachingTissue.DEEP_GREY], fractions[TeachingTissue.GREY]
    assert float(deep.sum()) > 5
    assert float((deep * distance).sum() / deep.sum()) < 40 < float((cortex * distance).sum() / cortex.sum())
