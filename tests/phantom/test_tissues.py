"""Tissues of teaching patients: typical without variation, plausible with it."""

from __future__ import annotations

import numpy as np
import pytest

from utad_monai.phantom.tissues import TEACHING_TISSUES, TUMOUR_TISSUES, TeachingTissue, Tissues, draw_tissues

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
