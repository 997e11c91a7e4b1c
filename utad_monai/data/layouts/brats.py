"""BraTS layouts: `<case>_t1ce.nii.gz` until 2021, `<case>-t1c.nii.gz` since 2023."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from utad_monai.data.layouts.case import SEGMENTATION, Claim, Layout
from utad_monai.data.layouts.label_sets import BRATS_2017_TO_2021_LABELS, BRATS_2023_LABELS
from utad_monai.data.layouts.patient import patient_of
from utad_monai.keys import Modality


@dataclass(frozen=True)
class BratsLayout(Layout):
    """A layout that tells modalities by the ending of the file name.

    Attributes:
        separator: what stands between case name and ending.
    """

    _: KW_ONLY

    separator: str = "_"


BRATS_2017_TO_2021 = BratsLayout(
    name="BraTS 2017-2021",
    names={Modality.FLAIR: "flair", Modality.T1: "t1", Modality.T1CE: "t1ce", Modality.T2: "t2"},
    label_set=BRATS_2017_TO_2021_LABELS,
    separator="_",
)
"""`<case>/<case>_{flair,t1,t1ce,t2,seg}.nii[.gz]`, in HGG/LGG folders until 2019; enhancing tumour is 4."""

BRATS_2023 = BratsLayout(
    name="BraTS 2023 and later",
    names={Modality.FLAIR: "t2f", Modality.T1: "t1n", Modality.T1CE: "t1c", Modality.T2: "t2w"},
    label_set=BRATS_2023_LABELS,
    separator="-",
)
"""`<case>/<case>-{t2f,t1n,t1c,t2w,seg}.nii[.gz]`; enhancing tumour is 3."""

BRATS_LAYOUTS = (BRATS_2017_TO_2021, BRATS_2023)


def brats_claims(path: Path, root: Path) -> Iterator[Claim]:  # noqa: ARG001  (other layouts look at it)
    """Yield what a BraTS file name says; nothing for other names."""
    stem = re.sub(r"\.nii(\.gz)?$", "", path.name)
    for layout in BRATS_LAYOUTS:
        case_id, separator, ending = stem.rpartition(layout.separator)
        parts: dict[str, Modality | str] = {name: modality for modality, name in layout.names.items()}
        part = (parts | {SEGMENTATION: SEGMENTATION}).get(ending)
        if separator and case_id and part is not None:
            yield Claim(layout, path.parent, case_id=case_id, patient_id=patient_of(case_id), part=part, path=path)
