"""Check a whole cohort: every case, side by side, and what only shows between cases."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from tqdm import tqdm

from utad_monai.check.case import check_case
from utad_monai.check.duplicates import duplicates
from utad_monai.check.finding import CohortReport
from utad_monai.data.layouts import look_for_cases
from utad_monai.data.preprocessing import Preprocessing
from utad_monai.data.problems import CohortError
from utad_monai.threads import map_in_threads


def check_cohort(
    dataset_dir: str | Path,
    preprocessing: Preprocessing | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> CohortReport:
    """Find and check every case of a cohort; nothing is written, and no case stops the others.

    Args:
        dataset_dir: the cohort's root, or a CSV table of its cases.
        preprocessing: what would be done with the images; the default frame and percentiles when None.
        workers: cases that are checked at a time, by default one per processor; each holds one case in memory.
        progress: whether to show a progress bar on stderr.

    Returns:
        The report; a cohort that cannot be read at all is one without cases.
    """
    path = Path(dataset_dir)
    root = path.parent if path.is_file() else path
    try:
        found = look_for_cases(path)
    except CohortError as error:
        return CohortReport(root, (), error.problems, ())
    check = partial(check_case, preprocessing=preprocessing or Preprocessing())
    results = map_in_threads(check, found.cases, workers or os.cpu_count() or 1)
    # on a terminal only: a log file has no use for a bar
    bar = tqdm(results, total=len(found.cases), desc="Checking", unit="case", disable=None if progress else True)
    reports = tuple(bar)
    return CohortReport(root, reports, found.problems, tuple(duplicates(reports)))
