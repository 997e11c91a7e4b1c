"""Teaching patients: repeatable draws, numbers in their ranges, tumours where they are asked for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from utad_monai.phantom.patient import HIGHEST_MM, LOWEST_MM, MOST_FOCI, TeachingPatient

DrawPatients = Callable[..., list[TeachingPatient]]
MANY = 200


def foci_of(patient: TeachingPatient) -> int:
    return int(patient.foci["present"].sum())


def as_numbers(patient: TeachingPatient) -> list[float]:
    foci = [number for values in patient.foci.values() for number in values.ravel()]
    return [*patient.pose.ravel(), *patient.shift_mm, patient.slice_mm, *patient.numbers.values(), *foci]


def volume_ml(radius_mm: float) -> float:
    return 4 / 3 * np.pi * radius_mm**3 / 1000


def test_the_same_draws_give_the_same_patient_and_others_another(draw_patients: DrawPatients) -> None:
    first, again, other = draw_patients(3, seed=1), draw_patients(3, seed=1), draw_patients(3, seed=2)
    for one, two, three in zip(first, again, other, strict=True):
        assert as_numbers(one) == as_numbers(two)
        assert one.noise_seed == two.noise_seed
        assert as_numbers(one) != as_numbers(three)
        assert one.noise_seed != three.noise_seed


def test_patients_of_one_seed_differ(draw_patients: DrawPatients) -> None:
    drawn = draw_patients(MANY)
    assert len({patient.noise_seed for patient in drawn}) == MANY
    assert len({patient.slice_mm for patient in drawn}) > 0.95 * MANY


@pytest.mark.parametrize(("fraction", "foci"), [(0.0, {0}), (1.0, {1, 2, 3})])
def test_tumours_are_as_many_as_asked_for(draw_patients: DrawPatients, fraction: float, foci: set[int]) -> None:
    assert {foci_of(patient) for patient in draw_patients(MANY, tumour_fraction=fraction)} == foci


@pytest.mark.parametrize(("probability", "foci"), [(0.0, {1}), (1.0, {2, 3})])
def test_further_foci_are_as_many_as_asked_for(draw_patients: DrawPatients, probability: float, foci: set[int]) -> None:
    drawn = draw_patients(MANY, tumour_fraction=1.0, several_foci=probability)
    assert {foci_of(patient) for patient in drawn} == foci


def test_the_share_of_patients_with_a_tumour_is_that_of_the_variation(draw_patients: DrawPatients) -> None:
    with_tumour = [foci_of(patient) > 0 for patient in draw_patients(1000, tumour_fraction=0.3)]
    assert np.mean(with_tumour) == pytest.approx(0.3, abs=0.05)


def test_main_foci_have_volumes_of_the_range_and_further_ones_are_smaller(draw_patients: DrawPatients) -> None:
    volumes = []
    for patient in draw_patients(MANY, volume_ml=(5.0, 50.0)):
        radii = patient.foci["radius"]
        assert radii.shape == (MOST_FOCI,)
        volumes.append(volume_ml(radii[0]))
        assert radii[1:].max() < 0.7 * volume_to_radius(50.0)
    assert 5.0 <= min(volumes) < 7.0
    assert 40.0 < max(volumes) <= 50.001


def volume_to_radius(volume: float) -> float:
    return float((3000 * volume / (4 * np.pi)) ** (1 / 3))


@pytest.mark.parametrize("name", ["edge", "roughness", "density"])
def test_numbers_inside_a_focus_fill_the_range_of_the_variation(draw_patients: DrawPatients, name: str) -> None:
    lower, upper = 0.31, 0.42
    drawn = np.concatenate([patient.foci[name] for patient in draw_patients(MANY, **{name: (lower, upper)})])
    assert lower - 1e-6 <= drawn.min() < lower + 0.01
    assert upper - 0.01 < drawn.max() <= upper + 1e-6


def test_the_mass_effect_is_that_of_the_variation(draw_patients: DrawPatients) -> None:
    assert {float(m) for p in draw_patients(9, mass_effect=(0.25, 0.25)) for m in p.foci["mass"]} == {0.25}


def test_slices_go_through_the_main_focus(draw_patients: DrawPatients) -> None:
    for patient in draw_patients(MANY, tumour_fraction=1.0):
        apart = abs(patient.slice_mm - patient.foci["centre"][0, 2])
        assert apart <= 0.85 * patient.foci["radius"][0] + 1e-4


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_slices_lie_within_the_brain(draw_patients: DrawPatients, fraction: float) -> None:
    slices = [patient.slice_mm for patient in draw_patients(MANY, tumour_fraction=fraction)]
    assert min(slices) >= LOWEST_MM
    assert max(slices) <= HIGHEST_MM
    assert max(slices) - min(slices) > 0.8 * (HIGHEST_MM - LOWEST_MM)


def test_low_grade_tumours_hardly_enhance(draw_patients: DrawPatients) -> None:
    low = np.array([patient.foci["non_enhancing"] for patient in draw_patients(50, low_grade=1.0)])
    high = np.array([patient.foci["non_enhancing"] for patient in draw_patients(50, low_grade=0.0)])
    assert low.min() > 1.0 > high.max()


def test_brains_differ_in_size_by_the_scale(draw_patients: DrawPatients) -> None:
    lengths = [1 / np.linalg.norm(patient.pose, axis=0) for patient in draw_patients(MANY, scale=0.2)]
    assert 0.8 * 0.97 - 1e-3 <= np.min(lengths) < 0.85
    assert 1.15 < np.max(lengths) <= 1.2 * 1.03 + 1e-3


def test_without_rotation_axes_stay(draw_patients: DrawPatients) -> None:
    for patient in draw_patients(5, rotation_degrees=0.0):
        np.testing.assert_allclose(patient.pose, np.diag(np.diag(patient.pose)), atol=1e-7)
    assert any(abs(patient.pose[0, 1]) > 0.01 for patient in draw_patients(5))


def test_white_spots_are_as_frequent_as_asked_for(draw_patients: DrawPatients) -> None:
    assert {patient.numbers["white_spots"] for patient in draw_patients(20, white_spots=0.0)} == {0.0}
    assert min(patient.numbers["white_spots"] for patient in draw_patients(20, white_spots=1.0)) >= 0.2


def test_ventricles_and_atrophy_stay_in_their_bounds_however_wide_the_draws(draw_patients: DrawPatients) -> None:
    drawn = draw_patients(MANY, ventricles=5.0, atrophy=1.0)
    assert all(-1 <= patient.numbers["ventricles"] <= 1 for patient in drawn)
    assert all(patient.numbers["atrophy"] > 0 for patient in drawn)
    assert {p.numbers["ventricles"] for p in draw_patients(5, ventricles=0.0)} == {0.0}
