"""What a cohort holds and what is wrong with it, before any work starts; nothing is written into the cohort."""

from utad_monai.check.as_json import report_as_json, write_report_json
from utad_monai.check.case import check_case
from utad_monai.check.cohort import check_cohort
from utad_monai.check.finding import CaseReport, CohortReport, Grid
from utad_monai.check.show import show_report
from utad_monai.data.findings import Finding, FindingKind

__all__ = [
    "CaseReport",
    "CohortReport",
    "Finding",
    "FindingKind",
    "Grid",
    "check_case",
    "check_cohort",
    "report_as_json",
    "show_report",
    "write_report_json",
]
