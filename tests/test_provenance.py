"""Synthetic images say so, in the header and beside it."""

from __future__ import annotations

import json
from dataclasses import replace

import nibabel
import pytest

from utad_monai import __version__, provenance
from utad_monai.keys import Modality
from utad_monai.provenance import Provenance, is_synthetic

PROVENANCE = Provenance("case_1", Modality.T2, Modality.T1CE, "case_1_t2.nii.gz", "ab" * 32, {"a": 1}, {"epoch": 3})


def test_header_text_names_target_source_version_and_model() -> None:
    assert PROVENANCE.header_text == f"SYNTHETIC t1ce from t2, UTAD-MONAI {__version__} abababababab"


@pytest.mark.parametrize("sha256", ["", "ab" * 32, "é" * 64, "f" * 500])
def test_header_text_fits_its_field_as_ascii(sha256: str) -> None:
    text = replace(PROVENANCE, model_sha256=sha256).header_text
    assert text.isascii()
    assert len(text) <= 79


def test_long_version_is_cut_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "__version__", "1.2.3+" + "local" * 20)
    assert len(PROVENANCE.header_text) == 79


def test_marked_header_is_recognised_and_others_are_not() -> None:
    header = nibabel.Nifti1Header()
    assert not is_synthetic(header)
    header["descrip"] = b"not SYNTHETIC"
    assert not is_synthetic(header)
    header["descrip"] = PROVENANCE.header_text.encode()
    assert is_synthetic(header)


def test_sidecar_is_json_and_says_everything() -> None:
    sidecar = json.loads(json.dumps(PROVENANCE.sidecar()))
    assert sidecar["Synthetic"] is True
    assert sidecar["ImageType"] == ["DERIVED", "SYNTHETIC"]
    assert "not for clinical use" in sidecar["Warning"]
    assert (sidecar["Case"], sidecar["Modality"], sidecar["SourceModality"]) == ("case_1", "t1ce", "t2")
    assert sidecar["Sources"] == ["case_1_t2.nii.gz"]
    assert sidecar["GeneratedBy"] == [{"Name": "UTAD-MONAI", "Version": __version__}]
    assert (sidecar["ModelSha256"], sidecar["Preprocessing"], sidecar["Training"]) == (
        "ab" * 32,
        {"a": 1},
        {"epoch": 3},
    )
