"""BIDS: `sub-01/ses-02/anat/sub-01_ses-02_ce-gadolinium_T1w.nii.gz`, segmentations beside it or in derivatives.

Names follow the Brain Imaging Data Structure 1.10, https://bids-specification.readthedocs.io.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from utad_monai.data.layouts.case import SEGMENTATION, Claim, Layout
from utad_monai.data.layouts.patient import patient_of
from utad_monai.data.sequences import RawRole, read_name
from utad_monai.keys import Modality

BIDS = Layout(
    name="BIDS",
    names={Modality.FLAIR: "FLAIR", Modality.T1: "T1w", Modality.T1CE: "ce-*_T1w", Modality.T2: "T2w"},
    label_set=None,
)
"""`sub-*/[ses-*/]anat/sub-*[_ses-*][_<key>-<value>...]_{T1w,T2w,FLAIR,dseg}.nii[.gz]`; enhancing tumour is 3 or 4."""

DERIVATIVES = "derivatives"
"""Folder of what was computed: segmentations are taken from it, images are not."""
PASSED_OVER = {DERIVATIVES, "sourcedata"}
"""Folders whose images are no images of the cohort."""
_NAME = re.compile(
    r"(?P<patient>sub-[^_/]+)(_(?P<session>ses-[^_/]+))?(?P<entities>(_[A-Za-z0-9]+-[^_/]+)*)"
    r"_(?P<suffix>T1w|T2w|FLAIR|dseg|seg)\.nii(\.gz)?"
)
_PARTS: dict[str, Modality | str] = {
    "T1w": Modality.T1,
    "T2w": Modality.T2,
    "FLAIR": Modality.FLAIR,
    "dseg": SEGMENTATION,
    "seg": SEGMENTATION,
}


def bids_claims(path: Path, root: Path) -> Iterator[Claim]:
    """Yield what a BIDS file name below the cohort's root says; nothing for other names.

    A case is a subject's session; where a name tells none, its folder does. Entities count as people write them:
    `ce-none`, `acq-postgd`, `acq-darkfluid`. Images below `derivatives` and `sourcedata` are passed over, unless the
    cohort's root lies there itself: a raw image and its processed copy would otherwise be one modality twice.
    """
    match = _NAME.fullmatch(path.name)
    if not match:
        return
    folders = path.relative_to(root).parts[:-1]
    part = _PARTS[match["suffix"]]
    said = read_name(stem_of(path)).roles
    if part != SEGMENTATION and (PASSED_OVER & set(folders) or said == {RawRole.OTHER}):
        return
    if part != SEGMENTATION and len(said) == 1:
        part = next((role.modality for role in said if role.modality), part)
    session = match["session"] or next((name for name in folders if name.startswith("ses-")), "")
    case_id = f"{match['patient']}_{session}" if session else match["patient"]
    yield Claim(
        BIDS,
        root.joinpath(*_dataset_folders(folders)),
        case_id=case_id,
        patient_id=patient_of(case_id),
        part=part,
        path=path,
    )


def stem_of(path: Path) -> str:
    """Return the name of a NIfTI file without its ending."""
    return re.sub(r"\.nii(\.gz)?$", "", path.name)


def _dataset_folders(folders: tuple[str, ...]) -> tuple[str, ...]:
    """Return the folders above the first one that lies inside a data set."""
    inside = (number for number, name in enumerate(folders) if re.match(rf"(sub|ses)-|(anat|{DERIVATIVES})$", name))
    return folders[: next(inside, len(folders))]
