"""Layouts of brain tumour cohorts (BraTS, MSD, BIDS, CSV tables), all read into the same `Case` record."""

from utad_monai.data.layouts.bids import BIDS
from utad_monai.data.layouts.brats import BRATS_2017_TO_2021, BRATS_2023, BratsLayout
from utad_monai.data.layouts.case import Case, Layout
from utad_monai.data.layouts.find import FoundCohort, find_cases, look_for_cases
from utad_monai.data.layouts.msd import MSD_TASK01
from utad_monai.data.layouts.registry import LAYOUTS
from utad_monai.data.layouts.table import TABLE

__all__ = [
    "BIDS",
    "BRATS_2017_TO_2021",
    "BRATS_2023",
    "LAYOUTS",
    "MSD_TASK01",
    "TABLE",
    "BratsLayout",
    "Case",
    "FoundCohort",
    "Layout",
    "find_cases",
    "look_for_cases",
]
