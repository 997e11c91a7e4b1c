"""UCSF-PDGM: `UCSF-PDGM-0004_nifti/UCSF-PDGM-0004_T1c_bias.nii.gz` and its segmentation, skull-stripped on one grid.

Calabrese et al. 2022, Radiology: Artificial Intelligence, doi 10.1148/ryai.220058.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from utad_monai.data.layouts.case import SEGMENTATION, Claim, Layout
from utad_monai.data.layouts.label_sets import UCSF_PDGM_LABELS
from utad_monai.data.layouts.patient import patient_of
from utad_monai.keys import Modality

UCSF_PDGM = Layout(
    name="UCSF-PDGM",
    names={Modality.FLAIR: "FLAIR", Modality.T1: "T1", Modality.T1CE: "T1c", Modality.T2: "T2"},
    label_set=UCSF_PDGM_LABELS,
)
"""`<case>_nifti/<case>_{FLAIR,T1,T1c,T2}[_bias].nii.gz`, `<case>_tumor_segmentation.nii.gz`; enhancing tumour is 4."""

_CORRECTED = "_bias"
"""Ending of an image whose bias field was removed: it is taken where a case has both."""
_NAME = re.compile(
    r"(?P<case>UCSF-PDGM-\d+(_FU\d+d)?)_(?P<part>FLAIR|T1|T1c|T2|tumor_segmentation)"
    rf"(?P<corrected>{_CORRECTED})?\.nii(\.gz)?"
)
_PARTS: dict[str, Modality | str] = {name: modality for modality, name in UCSF_PDGM.names.items()}
_PARTS["tumor_segmentation"] = SEGMENTATION


def ucsf_pdgm_claims(path: Path, root: Path) -> Iterator[Claim]:  # noqa: ARG001  (other layouts look at it)
    """Yield what a UCSF-PDGM file name says; nothing for other names, and for the other images of a case.

    A follow-up (`_FU001d`) is a case of its own of the same patient.
    """
    match = _NAME.fullmatch(path.name)
    if not match:
        return
    suffix = path.name[path.name.index(".nii") :]
    corrected = path.with_name(f"{match['case']}_{match['part']}{_CORRECTED}{suffix}")
    if match["corrected"] or not corrected.exists():
        yield Claim(
            UCSF_PDGM,
            path.parent,
            case_id=match["case"],
            patient_id=patient_of(match["case"]),
            part=_PARTS[match["part"]],
            path=path,
        )
