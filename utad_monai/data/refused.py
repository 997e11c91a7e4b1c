"""What happens to a cohort with bad cases: it is refused as a whole, or goes on without them and says so."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pandas

from utad_monai.data.problems import CohortError, CohortProblem
from utad_monai.keys import OnBadCase
from utad_monai.tables import write_table

REFUSED_FILE = "refused_cases.csv"
"""Which cases a run went on without, and why: columns case, file, reason, remedy; in the output folder."""

_logger = logging.getLogger(__name__)


def settle(problems: Sequence[CohortProblem], policy: OnBadCase, output_dir: str | Path, cases: int) -> None:
    """Stop because of the problems of a cohort, or go on without its bad cases and write down which they are.

    Args:
        problems: every problem of the cohort.
        policy: refuse or skip.
        output_dir: receives the table when cases are skipped; a table of an earlier run is replaced or removed.
        cases: number of sound cases that are left.

    Raises:
        CohortError: with every problem, when they are not to be skipped or no sound case is left.
    """
    table = Path(output_dir) / REFUSED_FILE
    if problems and (policy is OnBadCase.REFUSE or not cases):
        raise CohortError(problems)
    if policy is OnBadCase.REFUSE:
        table.unlink(missing_ok=True)
        return
    rows = [{"case": p.case_id, "file": str(p.path), "reason": p.reason, "remedy": p.remedy} for p in problems]
    write_table(table, pandas.DataFrame(rows, columns=["case", "file", "reason", "remedy"]))
    for problem in problems:
        _logger.warning("skipped: %s", problem)
    if problems:
        _logger.warning("going on with %d sound cases; %d problems are listed in %s", cases, len(problems), table)


def policy_of(output_dir: str | Path) -> OnBadCase:
    """Return how the run in an output folder dealt with bad cases, for whoever looks at its cohort again."""
    return OnBadCase.SKIP if (Path(output_dir) / REFUSED_FILE).is_file() else OnBadCase.REFUSE
