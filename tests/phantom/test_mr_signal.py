"""The signal equations give the contrasts that radiologists know."""

from __future__ import annotations

import numpy as np
import pytest

from utad_monai.keys import Modality
from utad_monai.phantom.mr_signal import (
    SEQUENCES,
    TISSUES,
    PulseSequence,
    Tissue,
    TissueClass,
    add_rician_noise,
    mix_signals,
)

WATER = Tissue(proton_density=0.8, t1_ms=1000, t2_ms=100)


def signal(modality: Modality, tissue: TissueClass) -> float:
    return SEQUENCES[modality].signal(TISSUES[tissue])


def test_long_repetition_and_short_echo_leave_proton_density() -> None:
    assert PulseSequence(repetition_ms=1e6, echo_ms=0).signal(WATER) == pytest.approx(0.8)


def test_spin_echo_follows_both_relaxations() -> None:
    recovered, remaining = 1 - np.exp(-0.5), np.exp(-2)
    assert PulseSequence(repetition_ms=500, echo_ms=200).signal(WATER) == pytest.approx(0.8 * recovered * remaining)


def test_inversion_nulls_at_its_time_and_is_negative_before() -> None:
    null_ms = 1000 * np.log(2)
    assert PulseSequence(1e6, 0, inversion_ms=null_ms).signal(WATER) == pytest.approx(0, abs=1e-9)
    assert PulseSequence(1e6, 0, inversion_ms=null_ms / 2).signal(WATER) < 0


@pytest.mark.parametrize("tissue", [TissueClass.GREY, TissueClass.WHITE, TissueClass.OEDEMA])
def test_csf_is_nulled_in_flair_and_brightest_in_t2(tissue: TissueClass) -> None:
    assert abs(signal(Modality.FLAIR, TissueClass.CSF)) < 0.1 * signal(Modality.FLAIR, tissue)
    assert signal(Modality.T2, TissueClass.CSF) > signal(Modality.T2, tissue)


def test_white_matter_is_brighter_than_grey_in_t1_and_darker_in_t2() -> None:
    assert signal(Modality.T1, TissueClass.WHITE) > signal(Modality.T1, TissueClass.GREY)
    assert signal(Modality.T2, TissueClass.WHITE) < signal(Modality.T2, TissueClass.GREY)


@pytest.mark.parametrize("modality", [Modality.FLAIR, Modality.T2])
def test_oedema_is_brighter_than_healthy_matter(modality: Modality) -> None:
    healthy = max(signal(modality, TissueClass.GREY), signal(modality, TissueClass.WHITE))
    assert signal(modality, TissueClass.OEDEMA) > 1.2 * healthy


def test_contrast_agent_brightens_enhancing_tumour_alone() -> None:
    for tissue in TissueClass:
        before, after = signal(Modality.T1, tissue), signal(Modality.T1CE, tissue)
        if tissue is TissueClass.ENHANCING:
            assert after > 1.5 * before
        else:
            assert after == before


def test_jitter_stays_within_its_fraction_and_changes_every_value() -> None:
    tissue = TISSUES[TissueClass.ENHANCING]
    jittered = tissue.jittered(np.random.default_rng(0), 0.05)
    for name in ("proton_density", "t1_ms", "t2_ms", "t1_contrast_ms"):
        ratio = getattr(jittered, name) / getattr(tissue, name)
        assert 0.95 <= ratio <= 1.05
        assert ratio != 1
    assert WATER.jittered(np.random.default_rng(0), 0.05).t1_contrast_ms is None


def test_mixture_is_weighted_by_the_fractions() -> None:
    fractions = np.zeros((len(TissueClass), 2), dtype=np.float32)
    fractions[TissueClass.WHITE] = [1, 0.25]
    fractions[TissueClass.CSF] = [0, 0.75]
    white, csf = signal(Modality.T2, TissueClass.WHITE), signal(Modality.T2, TissueClass.CSF)
    mixed = mix_signals(SEQUENCES[Modality.T2], TISSUES, fractions)
    np.testing.assert_allclose(mixed, [white, 0.25 * white + 0.75 * csf], rtol=1e-5)


def test_rician_noise_has_a_rayleigh_floor_and_no_effect_at_zero_sigma() -> None:
    rng = np.random.default_rng(0)
    floor = add_rician_noise(np.zeros(100_000, dtype=np.float32), 0.1, rng)
    assert floor.min() >= 0
    assert floor.mean() == pytest.approx(0.1 * np.sqrt(np.pi / 2), rel=0.02)
    signed = np.array([-1, 0, 2], dtype=np.float32)
    np.testing.assert_array_equal(add_rician_noise(signed, 0, rng), np.abs(signed))
