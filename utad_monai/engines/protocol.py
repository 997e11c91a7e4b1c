"""What was measured how: printed and written beside every number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from utad_monai import __version__
from utad_monai.contrast import YARDSTICK_PROTOCOL
from utad_monai.data.cohort import PreparedCohort
from utad_monai.keys import Split
from utad_monai.metrics.image_quality import PROTOCOL
from utad_monai.metrics.segmentation import DICE_PROTOCOL
from utad_monai.metrics.tissue_contrast import TISSUE_PROTOCOL
from utad_monai.models import Segmenter, TranslatorModel
from utad_monai.models.starter import MEANING
from utad_monai.phantom.cohort import CASE_PREFIX

_BY_SOURCES = (
    "methods that take several sources at once, by the number of sources that they are given: mean over cases, targets "
    "and all subsets of so many of the case's other modalities"
)
_CALIBRATED = "given the cohort's intensities by histograms of training patients, none of them judged (docs/complete)"


def evaluation_protocol(
    cohort: PreparedCohort,
    split: Split | str,
    student: TranslatorModel,
    teacher: TranslatorModel,
    segmenter: Segmenter,
    *,
    starter: TranslatorModel | None = None,
    starter_flips: bool = True,
    source_slices: int = 0,
) -> dict[str, Any]:
    """Return the protocol of an evaluation as plain data.

    Args:
        cohort: the cohort.
        split: what was judged.
        student: the student.
        teacher: the teacher.
        segmenter: the downstream segmentation.
        starter: the starter weights that were measured too, if there are any.
        starter_flips: whether they translated mirror images too.
        source_slices: slices of a case that were measured by number of sources; 0 for all.
    """
    preprocessing = cohort.store.preprocessing
    cases = [case.case_id for case in cohort.cases(split, with_segmentation=True)]
    height_mm, width_mm = preprocessing.pixel_mm
    rows, columns = preprocessing.image_size
    return {
        "version": __version__,
        "cohort": "phantom (synthetic, no clinical evidence)"
        if cases and all(case.startswith(CASE_PREFIX) for case in cases)
        else "given by the user",
        "split": str(Split(split)),
        "test_cases": cases,
        "training_cases": len(cohort.cases(Split.TRAIN)),
        "training": "unpaired slices and tumour masks; no loss saw a paired target",
        "grid": f"axial slices, {rows}x{columns} pixels of {height_mm:.3g}x{width_mm:.3g} mm",
        "window": f"brain percentiles {preprocessing.lower_percentile}-{preprocessing.upper_percentile} of each volume",
        **PROTOCOL,
        **TISSUE_PROTOCOL,
        **YARDSTICK_PROTOCOL,
        "image_quality_by_sources": _by_sources(source_slices),
        **_starter(starter, starter_flips),
        **_calibration({"starter": starter, "student": student, "teacher": teacher}),
        "dice": DICE_PROTOCOL,
        "dice_fill": "one modality replaced at a time, mean over targets and sources; zero_fill is background (-1)",
        "checkpoint_choice": f"best {student.training.get('validation_metric', 'unknown')} on "
        f"{student.training.get('validated_on', 'the validation split')}",
        "student_sha256": student.sha256,
        "teacher_sha256": teacher.sha256,
        "segmentation_sha256": segmenter.sha256,
    }


def _by_sources(slices: int) -> str:
    return _BY_SOURCES + (f", on at most {slices} slices of each case, evenly spaced" if slices else "")


def _starter(starter: TranslatorModel | None, flips: bool) -> dict[str, str]:
    if starter is None:
        return {"starter": "not measured: this installation has no starter weights of these modalities"}
    mirrored = ", mean of a translation and that of the mirror image" if flips else ""
    return {"starter": f"{MEANING}{mirrored}", "starter_sha256": starter.sha256}


def _calibration(models: Mapping[str, TranslatorModel | None]) -> dict[str, str]:
    """Return which models are calibrated, and on what; nothing where none says what it paints."""
    calibrated = [name for name, model in models.items() if model is not None and model.reference_histograms]
    return {"calibration": f"{', '.join(calibrated)}: {_CALIBRATED}"} if calibrated else {}
