"""The intensities that a cohort has, for volumes that shall look like its own."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from tqdm import tqdm

from transforms import IntensityWindow, brain_window
from utad_monai.data.case_volumes import load_image
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
        workers: threads; one image each is in memory.
        progress: whether to show a progress bar.
    """
    jobs = [(case, modality) for case in cases for modality in case.images]
    found: dict[Modality, list[IntensityWindow]] = {}

    def measure(job: tuple[Case, Modality]) -> tuple[Modality, IntensityWindow | None]:
        case, modality = job
        try:
            image = load_image(case, modality).as_tensor()
            return modality, brain_window(image, preprocessing.lower_percentile, preprocessing.upper_percentile)
        except ValueError:
            return modality, None

    with ThreadPoolExecutor(workers) as pool:
        bar = tqdm(pool.map(measure, jobs), total=len(jobs), desc="Intensities", unit="image", disable=not progress)
        for modality, window in bar:
            if window is not None:
                found.setdefault(modality, []).append(window)
    return {
        modality: IntensityWindow(median(w.lower for w in found[modality]), median(w.upper for w in found[modality]))
        for modality in Modality
        if modality in found
    }
