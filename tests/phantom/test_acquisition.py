"""Tissues of teaching patients: typical without variation, plausible with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from utad_monai.keys import Modality
from utad_monai.phantom import ScanVariation
from utad_monai.phantom.acquisition import (
    TEACHING_TISSUES,
    TUMOUR_TISSUES,
    Sequences,
    TeachingTissue,
    Tissues,
    draw_sequences,
    draw_tissues,
    randomise,
    scan,
)
from utad_monai.phantom.mr_signal import SEQUENCES, PulseSequence

HEALTHY = [tissue for tissue in TeachingTissue if tissue not in TUMOUR_TISSUES]
LEAST = {TeachingTissue.OEDEMA: 0.97, TeachingTissue.NECROSIS: 0.9, TeachingTissue.NON_ENHANCING: 0.85}


@pytest.fixture
def patients() -> list[Tissues]:
    return [draw_tissues(np.random.default_rng(seed), 0.06, 0.25) for seed in range(200)]


def test_tumour_tissues_are_the_last_channels() -> None:
    assert [int(tissue) for tissue in (*HEALTHY, *TUMOUR_TISSUES)] == list(range(8))
    assert TeachingTissue.WHITE in HEALTHY


def test_without_variation_healthy_tissue_is_typical() -> None:
    drawn = draw_tissues(np.random.default_rng(0), 0.0, 0.25)
    assert {tissue: drawn[tissue] for tissue in HEALTHY} == {tissue: TEACHING_TISSUES[tissue] for tissue in HEALTHY}
    assert drawn[TeachingTissue.ENHANCING] != TEACHING_TISSUES[TeachingTissue.ENHANCING]


def test_the_same_draws_give_the_same_tissues(patients: list[Tissues]) -> None:
    assert draw_tissues(np.random.default_rng(7), 0.06, 0.25) == patients[7] != patients[8]


@pytest.mark.parametrize(
    ("tissue", "spread"),
    [(TeachingTissue.WHITE, 0.06), (TeachingTissue.OEDEMA, 0.25), (TeachingTissue.ENHANCING, 0.25)],
)
def test_relaxation_times_spread_as_asked_for(patients: list[Tissues], tissue: TeachingTissue, spread: float) -> None:
    for name in ("t1_ms", "t2_ms"):
        logarithms = np.log([getattr(patient[tissue], name) for patient in patients])
        assert np.std(logarithms) == pytest.approx(spread, rel=0.2)
        assert np.mean(logarithms) == pytest.approx(np.log(getattr(TEACHING_TISSUES[tissue], name)), abs=0.06)


def test_fluid_differs_most(patients: list[Tissues]) -> None:
    def spread(tissue: TeachingTissue) -> float:
        return float(np.std(np.log([patient[tissue].t2_ms for patient in patients])))

    assert spread(TeachingTissue.NECROSIS) > 1.2 * max(
        spread(t) for t in TUMOUR_TISSUES if t != TeachingTissue.NECROSIS
    )


@pytest.mark.parametrize("tissue", LEAST)
def test_tissue_that_takes_up_next_to_nothing_shortens_its_t1_a_little(
    patients: list[Tissues], tissue: TeachingTissue
) -> None:
    ratios = [(patient[tissue].t1_contrast_ms or 0) / patient[tissue].t1_ms for patient in patients]
    assert LEAST[tissue] <= min(ratios) < LEAST[tissue] + 0.01
    assert 0.99 < max(ratios) <= 1


def test_contrast_agent_stays_out_of_healthy_tissue(patients: list[Tissues]) -> None:
    assert {patient[tissue].t1_contrast_ms for patient in patients for tissue in HEALTHY} == {None}


def test_proton_densities_stay_plausible() -> None:
    drawn = [draw_tissues(np.random.default_rng(seed), 2.0, 0.25) for seed in range(50)]
    densities = [tissue.proton_density for patient in drawn for tissue in patient.values()]
    assert (min(densities), max(densities)) == (0.5, 1.05)


ELSEWHERE = torch.eye(len(TeachingTissue)).repeat(25, 1)
"""A volume that shows every tissue pure, and as much of each."""
NOTHING = ScanVariation(sequence=0, gradient_echo=0, gamma=0, curve=0, bias=0, noise=0, blur=0, window=0)
CSF, GREY, WHITE = TeachingTissue.CSF, TeachingTissue.GREY, TeachingTissue.WHITE
OEDEMA, ENHANCING = TeachingTissue.OEDEMA, TeachingTissue.ENHANCING
Strips = tuple[Tensor, Tensor]


@pytest.fixture
def ramp() -> Strips:
    """Three equal images `(3, 24, 20)` that rise from 0.2 to 0.7 in a round brain, and 0 outside; the brain."""
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, 24), torch.linspace(-1, 1, 20), indexing="ij")
    brain = (rows**2 + columns**2 < 0.8).expand(3, -1, -1)
    return torch.where(brain, 0.45 + 0.25 * rows, torch.zeros(())), brain


def taken(strips: Strips, modality: Modality, sequences: Sequences = SEQUENCES) -> dict[TeachingTissue, float]:
    """Return the intensity of each tissue on an image."""
    images = scan(*strips, TEACHING_TISSUES, sequences, ELSEWHERE)
    return {tissue: float(images[modality.channel, 2 * tissue, 3]) for tissue in TeachingTissue}


def randomised(images: Strips, variation: ScanVariation, seed: int = 0) -> Tensor:
    return randomise(*images, variation, torch.Generator().manual_seed(seed))


def test_images_are_in_range_and_0_outside_the_brain(strips: Strips) -> None:
    fractions, brain = strips
    brain[:, :3] = False  # tissue that is no brain is not seen
    images = scan(fractions, brain, TEACHING_TISSUES, SEQUENCES, ELSEWHERE)
    assert images.shape == (4, 20, 16)
    assert float(images.min()) == 0
    assert images.flatten(1).max(dim=1).values.tolist() == [1.0] * 4
    assert float(images[:, ~brain].abs().max()) == 0


@pytest.mark.parametrize(
    ("modality", "order"),
    [
        (Modality.T1, (CSF, GREY, TeachingTissue.DEEP_GREY, WHITE)),
        (Modality.T1CE, (CSF, GREY, WHITE, ENHANCING)),
        (Modality.T2, (WHITE, GREY, OEDEMA, CSF)),
        (Modality.FLAIR, (CSF, WHITE, GREY, OEDEMA)),
    ],
)
def test_tissues_have_the_order_of_the_modality(
    strips: Strips, modality: Modality, order: tuple[TeachingTissue, ...]
) -> None:
    seen = taken(strips, modality)
    values = [seen[tissue] for tissue in order]
    assert values == sorted(values)
    assert len(set(values)) == len(values)


def test_flair_nulls_fluid_and_t2_shows_it_brightest(strips: Strips) -> None:
    assert taken(strips, Modality.FLAIR)[CSF] < 0.05
    assert taken(strips, Modality.T2)[CSF] == max(taken(strips, Modality.T2).values()) == 1


def test_necrosis_and_oedema_are_brighter_than_grey_matter_on_flair_and_t2(strips: Strips) -> None:
    for modality in (Modality.FLAIR, Modality.T2):
        seen = taken(strips, modality)
        assert min(seen[TeachingTissue.NECROSIS], seen[OEDEMA]) > seen[GREY]


def test_enhancing_tumour_is_bright_after_contrast_agent_alone(strips: Strips) -> None:
    before, after = taken(strips, Modality.T1), taken(strips, Modality.T1CE)
    assert before[ENHANCING] < before[WHITE]
    assert after[ENHANCING] > 1.2 * after[WHITE]
    assert before[GREY] / before[WHITE] == pytest.approx(after[GREY] / after[WHITE], abs=0.25)


def test_inversion_recovery_shows_magnitudes(strips: Strips) -> None:
    inverted = dict(SEQUENCES) | {Modality.T1: PulseSequence(9000, 4, inversion_ms=400)}
    # all tissues but fluid are near their null: fluid, still inverted, is brightest
    assert taken(strips, Modality.T1, inverted)[CSF] == 1


def test_the_window_is_that_of_the_volume(strips: Strips) -> None:
    fractions, brain = strips
    white = fractions[WHITE] == 1
    usual = scan(fractions, brain, TEACHING_TISSUES, SEQUENCES, ELSEWHERE)
    alone = scan(fractions * white, white, TEACHING_TISSUES, SEQUENCES, ELSEWHERE)
    torch.testing.assert_close(alone[:, white], usual[:, white])
    part = brain & ((fractions[WHITE] == 1) | (fractions[GREY] == 1))
    grey = {}
    for tissue in (OEDEMA, CSF):
        volume = torch.eye(len(TeachingTissue))[[WHITE, tissue]].repeat(1000, 1)
        images = scan(fractions * part, part, TEACHING_TISSUES, SEQUENCES, volume)
        grey[tissue] = float(images[Modality.T2.channel, 2 * GREY, 3])
    assert 0 < grey[CSF] < 0.7 * grey[OEDEMA] < 0.7


def test_grey_and_white_matter_are_apart_in_every_target(strips: Strips) -> None:
    images = scan(*strips, TEACHING_TISSUES, SEQUENCES, ELSEWHERE)
    for image in images:
        assert abs(float(image[2 * GREY, 3] - image[2 * WHITE, 3])) > 0.05


def test_without_variation_the_protocol_is_the_usual_one() -> None:
    sequences = draw_sequences(np.random.default_rng(0), NOTHING, TEACHING_TISSUES)
    for modality in (Modality.T1, Modality.T1CE, Modality.T2):
        assert sequences[modality] == SEQUENCES[modality]
    assert sequences[Modality.FLAIR].inversion_ms == pytest.approx(SEQUENCES[Modality.FLAIR].inversion_ms, rel=0.02)


@pytest.mark.parametrize("t1_ms", [3000.0, 4000.0, 4600.0])
def test_flair_nulls_the_fluid_of_its_patient(t1_ms: float) -> None:
    fluid = replace(TEACHING_TISSUES[CSF], t1_ms=t1_ms)
    sequences = draw_sequences(np.random.default_rng(0), NOTHING, TEACHING_TISSUES | {CSF: fluid})
    assert abs(sequences[Modality.FLAIR].signal(fluid)) < 1e-6


@pytest.mark.parametrize(("share", "prepared"), [(0.0, False), (1.0, True)])
def test_t1_images_are_prepared_as_often_as_asked_for(share: float, prepared: bool) -> None:
    for seed in range(20):
        variation = replace(ScanVariation(), gradient_echo=share)
        sequences = draw_sequences(np.random.default_rng(seed), variation, TEACHING_TISSUES)
        for modality in (Modality.T1, Modality.T1CE):
            assert (sequences[modality].inversion_ms is not None) == prepared
        assert [m for m in Modality if sequences[m].after_contrast] == [Modality.T1CE]


def test_prepared_t1_images_have_the_order_of_t1(strips: Strips) -> None:
    variation = replace(NOTHING, gradient_echo=1.0)
    seen = taken(strips, Modality.T1, draw_sequences(np.random.default_rng(0), variation, TEACHING_TISSUES))
    assert seen[CSF] < seen[GREY] < seen[WHITE]


def test_protocols_differ_by_the_sequence_variation() -> None:
    def repetitions(spread: float) -> list[float]:
        variation = replace(NOTHING, sequence=spread)
        drawn = [draw_sequences(np.random.default_rng(k), variation, TEACHING_TISSUES) for k in range(200)]
        return [sequences[Modality.T2].repetition_ms for sequences in drawn]

    assert np.std(np.log(repetitions(0.15))) == pytest.approx(0.15, rel=0.2)
    assert np.std(np.log(repetitions(0.3))) == pytest.approx(0.3, rel=0.2)


def test_without_variation_an_image_stays_as_it_is(ramp: Strips) -> None:
    images, brain = ramp
    torch.testing.assert_close(randomised(ramp, NOTHING)[brain], images[brain])


def test_randomised_images_stay_in_range_and_keep_their_shape(ramp: Strips) -> None:
    wild = ScanVariation(gamma=1.0, curve=1.0, bias=1.0, noise=0.5, blur=3.0, window=0.5)
    for seed in range(10):
        made = randomised(ramp, wild, seed)
        assert made.shape == ramp[0].shape
        assert bool(torch.isfinite(made).all())
        assert 0 <= float(made.min()) <= float(made.max()) <= 1


def test_the_generator_decides_everything_and_the_images_given_are_kept(ramp: Strips) -> None:
    before = ramp[0].clone()
    torch.manual_seed(0)
    first = randomised(ramp, ScanVariation(), 4)
    torch.manual_seed(1)
    assert torch.equal(randomised(ramp, ScanVariation(), 4), first)
    assert not torch.equal(randomised(ramp, ScanVariation(), 5), first)
    assert torch.equal(ramp[0], before)


@pytest.mark.parametrize(
    "variation",
    [
        replace(NOTHING, gamma=0.35),
        replace(NOTHING, curve=1.0),
        replace(NOTHING, bias=0.12),
        replace(NOTHING, noise=0.05),
    ],
    ids=["gamma", "curve", "bias", "noise"],
)
def test_each_image_is_drawn_on_its_own(ramp: Strips, variation: ScanVariation) -> None:
    images, brain = ramp
    made = randomised(ramp, variation)
    assert float((made - images)[brain].abs().max()) > 1e-3
    for one, two in ((0, 1), (0, 2), (1, 2)):
        assert float((made[one] - made[two])[brain[0]].abs().max()) > 1e-3


@pytest.mark.parametrize(
    "variation", [replace(NOTHING, gamma=0.5), replace(NOTHING, curve=1.0)], ids=["gamma", "curve"]
)
def test_curves_are_monotone(ramp: Strips, variation: ScanVariation) -> None:
    images, brain = ramp
    for seed in range(5):
        made = randomised(ramp, variation, seed)
        for image in range(3):
            order = images[image][brain[image]].argsort()
            assert bool((made[image][brain[image]][order].diff() >= -1e-6).all())


def test_curves_keep_black_and_white() -> None:
    ends = torch.tensor([0.0, 1.0]).view(1, 1, 2).expand(3, 4, 2)
    made = randomised((ends, torch.ones(3, 4, 2, dtype=torch.bool)), replace(NOTHING, curve=1.0))
    torch.testing.assert_close(made, ends)


def test_a_bias_field_is_smooth_and_noise_is_not(ramp: Strips) -> None:
    images, brain = ramp
    inside = brain[0, 1:] & brain[0, :-1]

    def roughness(variation: ScanVariation) -> float:
        change = randomised(ramp, variation) - images
        return float(change.diff(dim=1)[:, inside].std() / change[:, brain[0]].std())

    assert roughness(replace(NOTHING, bias=0.12)) < 0.4
    assert roughness(replace(NOTHING, noise=0.05, noise_blur=0)) > 1.2


def test_blurred_noise_is_as_strong_and_alike_in_neighbours(ramp: Strips) -> None:
    images, brain = ramp

    def noise(blur: float) -> Tensor:
        many = [randomised(ramp, replace(NOTHING, noise=0.05, noise_blur=blur), seed) - images for seed in range(40)]
        return torch.cat(many)

    white, blurred = noise(0.0), noise(1.2)
    inside = brain[0]
    assert float(blurred[:, inside].std()) == pytest.approx(float(white[:, inside].std()), rel=0.1)
    for axis in (1, 2):
        both = inside & inside.roll(1, axis - 1)
        alike = [float((n * n.roll(1, axis))[:, both].mean() / n[:, both].square().mean()) for n in (white, blurred)]
        assert abs(alike[0]) < 0.05
        assert alike[1] > 0.2


def test_noise_is_no_stronger_than_asked_for(ramp: Strips) -> None:
    images, brain = ramp
    changes = [(randomised(ramp, replace(NOTHING, noise=0.05), seed) - images)[brain].std() for seed in range(20)]
    assert 0 < float(max(changes)) < 0.055


def test_blur_takes_detail_away_and_nothing_from_outside_comes_in(ramp: Strips) -> None:
    images, brain = ramp
    flat = torch.where(brain, torch.full_like(images, 0.6), torch.zeros(()))
    blurred = replace(NOTHING, blur=2.0)
    for seed in range(6):
        torch.testing.assert_close(randomised((flat, brain), blurred, seed)[brain], flat[brain])
    grain = torch.where(brain, torch.rand(images.shape, generator=torch.Generator().manual_seed(0)), torch.zeros(()))
    made = [randomised((grain, brain), blurred, seed) for seed in range(6)]
    spreads = [float(image[brain[0]].std()) for images in made for image in images]
    assert min(spreads) < 0.6 * max(spreads)
    assert max(spreads) == pytest.approx(float(grain[0][brain[0]].std()), rel=0.1)  # half of them are not blurred


def test_a_window_of_its_own_stretches_the_brain_to_the_whole_range(ramp: Strips) -> None:
    images, brain = ramp
    outside = torch.where(brain, images, torch.full_like(images, 0.95))  # what lies outside does not count
    for given in (images, outside):
        made = randomised((given, brain), replace(NOTHING, window=1.0))
        for image in range(3):
            values = made[image][brain[image]]
            assert float(values.min()) == 0
            assert float(values.max()) == 1
            assert float(values.median()) == pytest.approx(0.5, abs=0.05)


def test_a_slice_without_brain_gives_finite_images(ramp: Strips) -> None:
    none = torch.zeros_like(ramp[1])
    made = randomise(torch.zeros_like(ramp[0]), none, replace(ScanVariation(), window=1.0), torch.Generator())
    assert bool(torch.isfinite(made).all())
