"""One case from raw files to written files, or to the reasons why not; nothing that it raises reaches other cases."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from utad_monai.apps.prepare.case_files import forget_case, is_finished, read_report, write_case
from utad_monai.apps.prepare.case_input import read_case
from utad_monai.apps.prepare.case_preparation import prepare_case
from utad_monai.apps.prepare.raw_cases import RawCase
from utad_monai.apps.prepare.report import describe_case, fingerprint
from utad_monai.apps.prepare.settings import PreparationSettings, RefusedCaseError
from utad_monai.data.quality.case_name import folder_name_error
from utad_monai.data.quality.finding import CohortError, Finding
from utad_monai.errors import OutputError
from utad_monai.runtime.console import TRACEBACK_VARIABLE

_logger = logging.getLogger(__name__)


class PreparationStatus(StrEnum):
    """What became of a case."""

    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True)
class Outcome:
    """What became of one case.

    Attributes:
        case: its name.
        status: done or refused.
        problems: why it was refused.
        report: its report when it is done.
        reused: whether an earlier run had done it.
    """

    case: str
    status: PreparationStatus
    _: KW_ONLY
    problems: tuple[Finding, ...] = ()
    report: dict[str, Any] | None = None
    reused: bool = False

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of a case that is done, as its report has them."""
        return tuple(self.report["warnings"]) if self.report else ()

    def row(self) -> dict[str, Any]:
        """Return the case's line of the table; a rerun gives the same."""
        row = {"case": self.case, "status": str(self.status)}
        if self.report is None:
            return {**row, "reason": " | ".join(str(problem.public) for problem in self.problems)}
        found = [one["registration"] for one in self.report["images"].values() if one["registration"]]
        return {
            **row,
            "reference": self.report["reference"],
            "modalities": " ".join(self.report["images"]),
            "segmentation": self.report["segmentation"],
            "brain_mask": self.report["brain_mask"]["method"],
            "rough_mask": self.report["brain_mask"]["rough"],
            "brain_ml": self.report["brain_mask"]["volume_ml"],
            "largest_rotation_degrees": max((one["rotation_degrees"] for one in found), default=0.0),
            "largest_translation_mm": max((one["translation_mm"] for one in found), default=0.0),
            "warnings": " | ".join(self.warnings),
            "reason": "",
        }


def refused(case: RawCase, problems: Sequence[Finding]) -> Outcome:
    """Return the outcome of a case that cannot be used."""
    return Outcome(case.case_id, PreparationStatus.REFUSED, problems=tuple(problems))


def prepare_and_write(case: RawCase, output_dir: Path, settings: PreparationSettings) -> Outcome:
    """Prepare one case and write its files, unless an earlier run did so from the same bytes and settings.

    A refused case leaves no files of an earlier run behind: they would pass for the present ones.
    """
    if case.problems:
        return _refuse(case, output_dir, case.problems)
    try:
        digest = fingerprint(case, settings)
        if is_finished(output_dir, case.case_id, digest):
            return Outcome(
                case.case_id, PreparationStatus.DONE, report=read_report(output_dir, case.case_id), reused=True
            )
        raw = read_case(case, settings.reference)
        prepared = prepare_case(raw, settings)
        report = describe_case(case, prepared, settings, raw.warnings, digest)
        return Outcome(
            case.case_id, PreparationStatus.DONE, report=write_case(output_dir, case.case_id, prepared, report)
        )
    except CohortError as error:
        return _refuse(case, output_dir, error.problems)
    except RefusedCaseError as error:
        problem = Finding.error(case.case_id, case.folder, error.reason, error.remedy)
        return _refuse(case, output_dir, [problem])
    except OutputError:  # nothing that comes after could be written either
        raise
    except Exception as error:  # whatever one case raises, the others go on
        if os.environ.get(TRACEBACK_VARIABLE):
            _logger.exception("case %s", case.case_id)
        lines = str(error).strip().splitlines() or ["no message"]
        reason = f"failed unexpectedly ({type(error).__name__}: {lines[-1][:200]})"
        remedy = f"set {TRACEBACK_VARIABLE}=1 to see where, and report it"
        return _refuse(case, output_dir, [Finding.error(case.case_id, case.folder, reason, remedy)])


def _refuse(case: RawCase, output_dir: Path, problems: Sequence[Finding]) -> Outcome:
    if not folder_name_error(case.case_id):
        forget_case(output_dir, case.case_id)
    return refused(case, problems)
