"""Every layout in which files name themselves: one entry each, with what reads its file names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from utad_monai.data.layouts.bids import BIDS, bids_claims
from utad_monai.data.layouts.brats import BRATS_2017_TO_2021, BRATS_2023, brats_claims
from utad_monai.data.layouts.case import Claim, Layout
from utad_monai.data.layouts.msd import MSD_TASK01
from utad_monai.data.layouts.table import TABLE
from utad_monai.data.layouts.ucsf_pdgm import UCSF_PDGM, ucsf_pdgm_claims

NAMED_LAYOUTS: dict[Callable[[Path, Path], Iterator[Claim]], tuple[Layout, ...]] = {
    brats_claims: (BRATS_2017_TO_2021, BRATS_2023),
    bids_claims: (BIDS,),
    ucsf_pdgm_claims: (UCSF_PDGM,),
}
"""What reads a file's name, given the file and the cohort's root, and the layouts that it tells; in this order."""

LAYOUTS: tuple[Layout, ...] = (*(one for layouts in NAMED_LAYOUTS.values() for one in layouts), MSD_TASK01, TABLE)
"""Every layout; the last two are told by a folder and by a table."""


def named_claims(path: Path, root: Path) -> list[Claim]:
    """Return what the layouts say of a file by its name; nothing for a name that none of them knows."""
    return [claim for claims_of in NAMED_LAYOUTS for claim in claims_of(path, root)]
