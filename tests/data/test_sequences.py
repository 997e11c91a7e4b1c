"""Names of files, folders and DICOM series say which sequence an image is, or that they do not say it."""

from __future__ import annotations

import pytest

from utad_monai.data.sequences import RawRole, recognise

FLAIR, T1, T1CE, T2 = RawRole.FLAIR, RawRole.T1, RawRole.T1CE, RawRole.T2
SEG, MASK, OTHER = RawRole.SEGMENTATION, RawRole.BRAIN_MASK, RawRole.OTHER


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("flair", FLAIR),
        ("T2_FLAIR", FLAIR),
        ("t2flair", FLAIR),
        ("t2f", FLAIR),
        ("AX T2 FLAIR FS post", FLAIR),
        ("t2_tirm_tra_dark-fluid", FLAIR),
        ("3D_FLAIR_SPACE", FLAIR),
        ("t1", T1),
        ("t1n", T1),
        ("T1w", T1),
        ("MPRAGE", T1),
        ("Sag T1 MPRAGE", T1),
        ("ax3dt1", T1),
        ("T1 pre gad", T1),
        ("T1 without contrast", T1),
        ("t1_se w/o contrast", T1),
        ("IR-FSPGR", T1),
        ("t1ce", T1CE),
        ("t1c", T1CE),
        ("t1gd", T1CE),
        ("T1-Gad", T1CE),
        ("t1_mprage_sag_post", T1CE),
        ("T1 +C", T1CE),
        ("AX T1+GD", T1CE),
        ("T1w with contrast", T1CE),
        ("T1wCE", T1CE),
        ("mprage post", T1CE),
        ("t2", T2),
        ("T2w", T2),
        ("t2_tse_tra", T2),
        ("AX T2 FSE", T2),
        ("seg", SEG),
        ("tumor_mask", SEG),
        ("t1_label", SEG),
        ("brain_mask", MASK),
        ("t1_brain_mask", MASK),
        ("DWI b1000", OTHER),
        ("ADC", OTHER),
        ("t2*_gre", OTHER),
        ("T2 star", OTHER),
        ("3-plane loc", OTHER),
        ("T1 map", OTHER),
    ],
)
def test_plain_names_have_one_role(name: str, role: RawRole) -> None:
    assert recognise(name) == {role}


@pytest.mark.parametrize(
    ("name", "roles"),
    [
        ("T1 FLAIR", {FLAIR, T1}),
        ("t1_t2", {T1, T2}),
        ("T1 pre and post", {T1, T1CE}),
        ("T1 with and without C", {T1, T1CE}),
    ],
)
def test_names_that_can_be_read_in_two_ways_have_both_roles(name: str, roles: set[RawRole]) -> None:
    assert recognise(name) == roles


@pytest.mark.parametrize("name", ["", "scan_7", "post gad", "t10", "AXIAL", "image(1)"])
def test_names_that_say_nothing_have_no_role(name: str) -> None:
    assert recognise(name) == frozenset()
