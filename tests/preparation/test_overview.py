"""What is recognised is shown before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from utad_monai.preparation.overview import describe_raw_cases
from utad_monai.preparation.run import raw_cases


def test_every_image_has_its_line(tmp_path: Path, raw_head: Any, scanner: Any) -> None:
    folder = scanner["write_raw_case"](tmp_path, "P1", raw_head)
    (folder / "scan_9.nrrd").write_bytes(b"x")
    scanner["write_dicom"](folder / "more", raw_head.images["t1"], "DWI", 9)
    (tmp_path / "P2").mkdir()
    (tmp_path / "P2" / "t1.nrrd").write_bytes(b"damaged")
    (tmp_path / "P2" / "t1_again.nrrd").write_bytes(b"damaged")
    (tmp_path / "P2" / "flair.nrrd").write_bytes(b"damaged")
    text = "\n".join(describe_raw_cases(raw_cases(tmp_path)))
    assert "t1ce       DICOM     dicom/ series 4 't1_mprage_sag post gad': 56 x 64 x 52 voxels of 4 x 4 x 4 mm" in text
    assert "flair      NRRD      P1_FLAIR.nrrd: 56 x 64 x 52 voxels" in text
    assert "not used   more/ series 9 'DWI'" in text
    assert "not recognised: scan_9.nrrd" in text
    assert "flair.nrrd: UNUSABLE" in text
    assert "REFUSED    case P2" in text
