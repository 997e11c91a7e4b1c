"""Synthetic images say so, in the header and beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import nibabel
import pytest

from utad_monai import __version__
from utad_monai.apps.complete import provenance
from utad_monai.apps.complete.provenance import Provenance, SourceImage, is_synthetic
from utad_monai.keys import Modality

SOURCES = (
    SourceImage(Modality.T1, "case_1_t1.nii.gz", sha256="11" * 32),
    SourceImage(Modality.T2, "case_1_t2.nii.gz", sha256="22" * 32),
)
PROVENANCE = Provenance(
    "case_1",
    Modality.T1CE,
    sources=SOURCES,
    model_sha256="ab" * 32,
    preprocessing={"a": 1},
    training={"epoch": 3},
    validation_errors={Modality.T2: 0.2},
    settings={"fusion": "mean"},
)
WEIGHTS = {Modality.T1: 0.25, Modality.T2: 0.75}


def test_header_text_names_target_source_version_and_model() -> None:
    text = PROVENANCE.header_text((Modality.T1, Modality.T2))
    assert text == f"SYNTHETIC t1ce from t1+t2, UTAD-MONAI {__version__} abababababab"
    assert PROVENANCE.header_text((Modality.T2,), "uncertainty of").startswith("SYNTHETIC uncertainty of t1ce from t2,")


@pytest.mark.parametrize("sha256", ["", "ab" * 32, "é" * 64, "f" * 500])
def test_header_text_fits_its_field_as_ascii(sha256: str) -> None:
    text = replace(PROVENANCE, model_sha256=sha256).header_text(tuple(WEIGHTS))
    assert text.isascii()
    assert len(text) <= 79


def test_long_version_is_cut_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "__version__", "1.2.3+" + "local" * 20)
    assert len(PROVENANCE.header_text(tuple(WEIGHTS))) == 79


def test_marked_header_is_recognised_and_others_are_not() -> None:
    header = nibabel.Nifti1Header()
    assert not is_synthetic(header)
    header["descrip"] = b"not SYNTHETIC"
    assert not is_synthetic(header)
    header["descrip"] = PROVENANCE.header_text(tuple(WEIGHTS)).encode()
    assert is_synthetic(header)


def test_sidecar_is_json_and_says_everything() -> None:
    sidecar = json.loads(json.dumps(PROVENANCE.sidecar(WEIGHTS)))
    assert sidecar["Synthetic"] is True
    assert sidecar["ImageType"] == ["DERIVED", "SYNTHETIC"]
    assert "not for clinical use" in sidecar["Warning"]
    assert (sidecar["Case"], sidecar["Modality"]) == ("case_1", "t1ce")
    assert sidecar["SourceModalities"] == {"t1": 0.25, "t2": 0.75}
    assert sidecar["Sources"] == ["case_1_t1.nii.gz", "case_1_t2.nii.gz"]
    assert sidecar["SourceSha256"] == {"case_1_t1.nii.gz": "11" * 32, "case_1_t2.nii.gz": "22" * 32}
    assert sidecar["ValidationErrors"] == {"t2": 0.2}
    assert sidecar["Settings"] == {"fusion": "mean"}
    assert sidecar["Fingerprint"] == PROVENANCE.fingerprint
    assert sidecar["GeneratedBy"] == [{"Name": "UTAD-MONAI", "Version": __version__}]
    assert (sidecar["ModelSha256"], sidecar["Preprocessing"], sidecar["Training"]) == (
        "ab" * 32,
        {"a": 1},
        {"epoch": 3},
    )


def test_a_source_without_weight_is_looked_at_but_not_named_as_one() -> None:
    sidecar = PROVENANCE.sidecar({Modality.T1: 0.0, Modality.T2: 1.0})
    assert sidecar["SourceModalities"] == {"t2": 1.0}
    assert len(sidecar["Sources"]) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"case_id": "case_2"},
        {"target": Modality.FLAIR},
        {"sources": SOURCES[:1]},
        {"sources": (SOURCES[0], replace(SOURCES[1], sha256="33" * 32))},
        {"model_sha256": "cd" * 32},
        {"settings": {"fusion": "median"}},
    ],
)
def test_fingerprint_changes_with_everything_that_decides_the_image(change: dict[str, Any]) -> None:
    assert replace(PROVENANCE, **change).fingerprint != PROVENANCE.fingerprint


def test_fingerprint_does_not_change_otherwise() -> None:
    assert replace(PROVENANCE, training={"epoch": 9}).fingerprint == PROVENANCE.fingerprint
