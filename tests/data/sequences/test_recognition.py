"""All voices together say what an image is; two that contradict each other are shown."""

from __future__ import annotations

from typing import Any

import pytest

from utad_monai.data.sequences import RawRole, contradiction, recognise

AGENT = {"ContrastBolusAgent": "Gadobutrol"}
T2_TIMES = {"ScanningSequence": "SE", "EchoTime": 0.098, "RepetitionTime": 5.0}
FLAIR_TIMES = {"EchoTime": 0.09, "RepetitionTime": 9.0, "InversionTime": 2.5}
T1_TIMES = {"ScanningSequence": "SE", "EchoTime": 0.009, "RepetitionTime": 0.55}


@pytest.mark.parametrize(
    ("name", "parameters", "role"),
    [
        ("t1_mprage", AGENT, "t1ce"),
        ("T1 post-op", AGENT, "t1ce"),
        ("T1 Gd", AGENT, "t1ce"),
        ("T1 Gd", {}, "t1ce"),
        ("T1", {"ContrastBolusAgent": "NONE"}, "t1"),
        ("T1 pre and post", AGENT, "t1ce"),
        ("FLAIR", AGENT, "flair"),
        ("T2", AGENT, "t2"),
        ("ADC", AGENT, "other"),
        ("T1 FLAIR", FLAIR_TIMES, "flair"),
        ("t2_tirm_tra", FLAIR_TIMES, "flair"),
        ("T2 e1", {"EchoTime": 0.014, "RepetitionTime": 2.8}, "other"),
        ("scan_7", FLAIR_TIMES, "flair"),
        ("T1", {"ImageType": ["ORIGINAL", "PRIMARY", "P"]}, "other"),
        ("brain_mask", AGENT, "brain_mask"),
        ("tumor_seg", T1_TIMES, "seg"),
        ("5", {"SeriesDescription": "t1_mprage_KM"}, "t1ce"),
        ("T1w", {"SeriesDescription": "t1_mprage_KM"}, "t1ce"),
        ("ce-gd_T1w", {"SeriesDescription": "t1_mprage_sag"}, "t1ce"),
        ("5", {"SeriesDescription": "series 5", "ProtocolName": "AX T2 FLAIR"}, "flair"),
    ],
)
def test_voices_that_agree_decide_together(name: str, parameters: dict[str, Any], role: str) -> None:
    found = recognise({"name": name}, parameters)
    assert found.roles == {role}
    assert found.role == role


@pytest.mark.parametrize(
    ("name", "parameters", "reason"),
    [
        ("T1 nativ", AGENT, "name 'T1 nativ' says t1, contrast agent Gadobutrol says t1ce"),
        ("ce-none_T1w", AGENT, "name 'ce-none_T1w' says t1, contrast agent Gadobutrol says t1ce"),
        ("T1 ohne KM", AGENT, "name 'T1 ohne KM' says t1, contrast agent Gadobutrol says t1ce"),
        ("T1 pre", AGENT, "name 'T1 pre' says t1, contrast agent Gadobutrol says t1ce"),
        ("T1", T2_TIMES, "name 'T1' says t1, SE, TE 98 ms, TR 5000 ms says t2 or other"),
        ("T1 Gd", FLAIR_TIMES, "name 'T1 Gd' says t1ce, TE 90 ms, TR 9000 ms, TI 2500 ms says flair"),
        ("T2", FLAIR_TIMES, "name 'T2' says t2, TE 90 ms, TR 9000 ms, TI 2500 ms says flair"),
        ("FLAIR", T2_TIMES, "name 'FLAIR' says flair, SE, TE 98 ms, TR 5000 ms says t2 or other"),
        ("T2", T1_TIMES, "name 'T2' says t2, SE, TE 9 ms, TR 550 ms says t1 or t1ce"),
        ("T1", {"BodyPartExamined": "CSPINE"}, "name 'T1' says t1, body part CSPINE says other"),
        ("T2", {"ScanningSequence": "GR", "EchoTime": 0.02}, "name 'T2' says t2, GR, TE 20 ms says other"),
    ],
)
def test_a_contradiction_shows_each_voice(name: str, parameters: dict[str, Any], reason: str) -> None:
    found = recognise({"name": name}, parameters)
    assert found.reason == reason
    assert found.role is None


def test_a_t1_flair_after_contrast_agent_is_still_ambiguous() -> None:
    found = recognise({"name": "T1 FLAIR"}, AGENT)
    assert found.roles == {RawRole.FLAIR, RawRole.T1CE}
    assert found.reason == "can be flair or t1ce"


@pytest.mark.parametrize("parameters", [{}, AGENT, T1_TIMES, T2_TIMES])
def test_what_has_no_name_is_recognised_by_a_plain_acquisition_only(parameters: dict[str, Any]) -> None:
    assert recognise({"name": "scan_7"}, parameters).roles == frozenset()


@pytest.mark.parametrize(
    ("names", "roles"),
    [
        ({"name": "t1", "folder": "contrast"}, "t1 t1ce"),
        ({"name": "t1", "folder": "post"}, "t1 t1ce"),
        ({"name": "t1", "folder": "T1_Gd"}, "t1 t1ce"),
        ({"name": "t1_gd", "folder": "post"}, "t1ce"),
        ({"name": "t1", "folder": "post_op"}, "t1"),
        ({"name": "t1", "folder": "pre"}, "t1"),
        ({"name": "t1_gd", "folder": "nativ"}, "t1 t1ce"),
        ({"name": "t1", "folder": "FLAIR"}, "t1"),
        ({"name": "image", "folder": "T1_Gd"}, "t1ce"),
        ({"description": "T1 MPRAGE", "folder": "T1_POST"}, "t1 t1ce"),
        ({"description": "T1", "folder": "FLAIR"}, "flair t1"),
        ({"description": "T1", "folder": "DWI"}, "t1"),
        ({"description": "ADC", "folder": "T1"}, "other"),
    ],
)
def test_a_folder_never_overrules_what_lies_in_it(names: dict[str, str], roles: str) -> None:
    assert recognise(names).roles == set(roles.split())


def test_ambiguous_names_are_shown_with_what_each_says() -> None:
    reason = recognise({"description": "T1 MPRAGE", "folder": "post gad"}).reason
    assert reason == "can be t1 or t1ce: description 'T1 MPRAGE' says t1, folder 'post gad' says after contrast agent"


@pytest.mark.parametrize(
    ("role", "parameters", "name", "text"),
    [
        (RawRole.T1, AGENT, "a", "the table says t1, contrast agent Gadobutrol says t1ce"),
        (RawRole.T2, FLAIR_TIMES, "a", "the table says t2, TE 90 ms, TR 9000 ms, TI 2500 ms says flair"),
        (RawRole.T1, {}, "p1_t1ce", "the table says t1, its name says t1ce"),
        (RawRole.T1, {"SeriesDescription": "T1 KM"}, "a", "the table says t1, its description says t1ce"),
        (RawRole.T1CE, {}, "t1", ""),
        (RawRole.T1CE, AGENT, "t1", ""),
        (RawRole.T1, {}, "T1 pre and post", ""),
        (RawRole.SEGMENTATION, AGENT, "t1", ""),
    ],
)
def test_who_decides_is_told_what_contradicts_it(
    role: RawRole, parameters: dict[str, Any], name: str, text: str
) -> None:
    assert contradiction(role, "the table", parameters, name) == text
