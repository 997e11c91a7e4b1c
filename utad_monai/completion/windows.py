"""The intensities that a cohort has, for volumes that shall look like its own."""

from __future__ import annotations

from collections.abc import Sequence

from transforms import IntensityWindow
from utad_monai.completion.intensities import measure_cohort
from utad_monai.data.layouts import Case
from utad_monai.data.preprocessing import Preprocessing
from utad_monai.keys import Modality


def cohort_windows(
    cases: Sequence[Case], preprocessing: Preprocessing, workers: int = 1, progress: bool = True
) -> dict[Modality, IntensityWindow]:
    """Return the median brain window of each modality over the cases of a cohort that have it, in file units.

    Images that cannot be read are passed over: the case itself is refused where it is completed.

    Args:
        cases: the cohort.
        preprocessing: gives the percentiles.
        workers: cases at a time; one image each is in memory.
        progress: whether to show a progress bar.
    """
    return measure_cohort(cases, preprocessing, workers, progress, histograms=False)[0]
