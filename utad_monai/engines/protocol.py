"""What was measured how: printed and written beside every number."""

from __future__ import annotations

from typing import Any

from utad_monai import __version__
from utad_monai.checkpoints import Segmenter, Translator
from utad_monai.contrast import YARDSTICK_PROTOCOL
from utad_monai.data.cohort import PreparedCohort
from utad_monai.data.phantom import CASE_PREFIX
from utad_monai.keys import Split
from utad_monai.metrics.image_quality import PROTOCOL
from utad_monai.metrics.segmentation import DICE_PROTOCOL
from utad_monai.metrics.tissue_contrast import TISSUE_PROTOCOL


def evaluation_protocol(
    cohort: PreparedCohort, split: Split | str, student: Translator, teacher: Translator, segmenter: Segmenter
) -> dict[str, Any]:
    """Return the protocol of an evaluation as plain data."""
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
        "dice": DICE_PROTOCOL,
        "dice_fill": "one modality replaced at a time, mean over targets and sources; zero_fill is background (-1)",
        "checkpoint_choice": f"best {student.training.get('validation_metric', 'unknown')} on "
        f"{student.training.get('validated_on', 'the validation split')}",
        "student_sha256": student.sha256,
        "teacher_sha256": teacher.sha256,
        "segmentation_sha256": segmenter.sha256,
    }
