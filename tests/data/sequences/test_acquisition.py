"""Acquisition parameters say what an image may be, and nothing where they are not clear."""

from __future__ import annotations

from typing import Any

import pytest

from utad_monai.data.sequences import RawRole, contrast_agent
from utad_monai.data.sequences.acquisition import acquisition_hints

FLAIR, T1, T1CE, T2, OTHER = RawRole.FLAIR, RawRole.T1, RawRole.T1CE, RawRole.T2, RawRole.OTHER
WEIGHTINGS = {FLAIR, T1, T1CE, T2, OTHER}


def times(kind: str = "", **ms: float) -> dict[str, Any]:
    names = {"te": "EchoTime", "tr": "RepetitionTime", "ti": "InversionTime"}
    return {**({"ScanningSequence": kind} if kind else {}), **{names[name]: value / 1000 for name, value in ms.items()}}


def allowed(parameters: dict[str, Any]) -> set[RawRole]:
    """Return the weightings that all hints allow."""
    return WEIGHTINGS.intersection(*(hint.allowed for hint in acquisition_hints(parameters)))


@pytest.mark.parametrize(
    ("name", "parameters", "roles"),
    [
        ("2-D FLAIR", times("IR\\SE", te=89, tr=9000, ti=2500), {FLAIR}),
        ("Siemens 3-D FLAIR", times("SE\\IR", te=388, tr=5000, ti=1800), {FLAIR}),
        ("Philips 3-D FLAIR", times(te=280, tr=4800, ti=1650), {FLAIR}),
        ("CUBE FLAIR", times(te=115, tr=7600, ti=2117), {FLAIR}),
        ("FLAIR whose inversion time is not told", times("SE\\IR", te=90, tr=9000), {FLAIR, OTHER}),
        ("STIR", times("SE\\IR", te=60, tr=4000, ti=160), {OTHER}),
        ("T2 TSE", times("SE", te=100, tr=5000), {T2, OTHER}),
        ("T2 SPACE", times("SE", te=410, tr=3200), {T2, OTHER}),
        ("HASTE", times("SE", te=90, tr=1400), {T2, OTHER}),
        ("long echo of an unknown sequence", times(te=100, tr=6000), {T2, FLAIR, OTHER}),
        ("long echo, too fast for a FLAIR", times(te=100, tr=3000), {T2, OTHER}),
        ("T1 SE", times("SE", te=9, tr=550), {T1, T1CE}),
        ("T1 SPACE", times("SE", te=22, tr=700), {T1, T1CE}),
        ("T1 FLAIR", times("SE\\IR", te=24, tr=2500, ti=860), {T1, T1CE}),
        ("MPRAGE", times("GR\\IR", te=2.3, tr=2300, ti=900), {T1, T1CE, OTHER}),
        ("BRAVO", times("GR", te=3.2, tr=8), {T1, T1CE, OTHER}),
        ("proton density", times("SE", te=14, tr=2800), {T1, T1CE, OTHER}),
        ("T2* GRE", times("GR", te=20, tr=620), {OTHER}),
        ("SWI", times("GR", te=40, tr=49), {OTHER}),
        ("diffusion", times("EP\\SE", te=90, tr=6000), {OTHER}),
        ("between short and long", times("SE", te=50, tr=3000), WEIGHTINGS),
        ("nothing known", {}, WEIGHTINGS),
        ("echo time alone", times(te=4), WEIGHTINGS),
        ("several echoes", {"EchoTime": [0.01, 0.1]}, WEIGHTINGS),
        ("no numbers", {"EchoTime": "n/a", "RepetitionTime": None}, WEIGHTINGS),
    ],
)
def test_times_and_the_kind_of_sequence(name: str, parameters: dict[str, Any], roles: set[RawRole]) -> None:
    assert allowed(parameters) == roles, name


def test_milliseconds_are_noticed() -> None:
    parameters = {"EchoTime": 89, "RepetitionTime": 9000, "InversionTime": 2500}
    assert allowed(parameters) == {FLAIR}
    assert acquisition_hints(parameters)[0].text == "TE 89 ms, TR 9000 ms, TI 2500 ms"


@pytest.mark.parametrize(
    ("sequence", "roles"), [("*ep2d_b1000", {OTHER}), ("*swi3d1r", {OTHER}), ("*spcir_278ns", {FLAIR, OTHER})]
)
def test_the_name_of_a_sequence_stands_in_for_its_kind(sequence: str, roles: set[RawRole]) -> None:
    assert allowed({"SequenceName": sequence, **times(te=90, tr=6000)}) == roles


@pytest.mark.parametrize("agent", ["Gadobutrol", "GADAVIST", "Dotarem 10ml", "yes", "Y", "GADOLINIUM", "7.5"])
def test_an_agent_excludes_a_native_t1(agent: str) -> None:
    assert contrast_agent({"ContrastBolusAgent": agent}) == agent
    assert allowed({"ContrastBolusAgent": agent}) == WEIGHTINGS - {T1}


@pytest.mark.parametrize(
    "agent",
    ["", " ", "NONE", "NO", "N/A", "n.a.", "0", "-", "unknown", "nein", "ohne KM", "no contrast", "NaCl"],
)
def test_what_people_write_where_there_was_no_agent_says_nothing(agent: str) -> None:
    assert contrast_agent({"ContrastBolusAgent": agent}) == ""
    assert allowed({"ContrastBolusAgent": agent}) == WEIGHTINGS


@pytest.mark.parametrize(("dose", "text"), [(7.5, "of 7.5 ml"), ("10", "of 10 ml"), (0, ""), ("0", ""), ("none", "")])
def test_a_dose_is_an_agent(dose: object, text: str) -> None:
    assert contrast_agent({"ContrastBolusVolume": dose}) == text


@pytest.mark.parametrize("kind", ["P", "ADC", "SUBTRACTION", "MINIP", "T1 MAP"])
def test_what_was_computed_is_no_weighting(kind: str) -> None:
    (hint,) = acquisition_hints({"ImageType": ["DERIVED", "SECONDARY", kind]})
    assert hint.derived
    assert hint.allowed == {OTHER}


@pytest.mark.parametrize(("part", "roles"), [("CSPINE", {OTHER}), ("KNEE", {OTHER}), ("HEAD", WEIGHTINGS)])
def test_other_parts_of_the_body_are_no_brain(part: str, roles: set[RawRole]) -> None:
    assert allowed({"BodyPartExamined": part}) == roles
