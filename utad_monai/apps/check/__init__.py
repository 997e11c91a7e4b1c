"""What a cohort holds and what is wrong with it, before any work starts; nothing is written into the cohort."""

from utad_monai.apps.check.cohort import CaseGrid, CaseReport, CohortReport, check_case, check_cohort
from utad_monai.apps.check.show import report_as_json, show_report, write_report_json
from utad_monai.data.quality.finding import Finding, FindingKind

__all__ = [
    "CaseGrid",
    "CaseReport",
    "CohortReport",
    "Finding",
    "FindingKind",
    "check_case",
    "check_cohort",
    "report_as_json",
    "show_report",
    "write_report_json",
]
