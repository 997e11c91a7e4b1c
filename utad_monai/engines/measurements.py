"""The long table of measurements, and the protocol they were made by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas
import torch
from torch import Tensor

from utad_monai import __version__
from utad_monai.contrast import YARDSTICK_PROTOCOL
from utad_monai.data.cohort import PreparedCohort
from utad_monai.keys import ImageSource, Modality, Split
from utad_monai.metrics.image_quality import PROTOCOL
from utad_monai.metrics.measures import SET_MEASURES, column, measured
from utad_monai.metrics.segmentation import DICE_PROTOCOL
from utad_monai.metrics.tissue_contrast import TISSUE_PROTOCOL
from utad_monai.models import Segmenter, TranslatorModel
from utad_monai.models.starter import MEANING
from utad_monai.phantom.cohort import CASE_PREFIX

PAIR_PATIENTS = "pair_patients"
"""Where a model file says of how many patients its training saw pairs."""
_BY_SOURCES = (
    "methods that take several sources at once, by the number of sources that they are given: mean over cases, targets "
    "and all subsets of so many of the case's other modalities"
)
_MISSING = (
    "Dice with every set of modalities missing, by what fills the gaps (zero_fill: background, -1) and by the network: "
    "trained on complete cases, or (+tolerant) with modalities absent; methods of several sources get all there are"
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
    tolerant: Segmenter | None = None,
    others: Mapping[str, str] | None = None,
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
        tolerant: the segmentation network that was trained with modalities absent, if there is one.
        others: the protocols of others that were followed too, in words by name.
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
        "training": _training({"student": student, "teacher": teacher}),
        "grid": f"axial slices, {rows}x{columns} pixels of {height_mm:.3g}x{width_mm:.3g} mm",
        "window": f"brain percentiles {preprocessing.lower_percentile}-{preprocessing.upper_percentile} of each volume",
        **PROTOCOL,
        **TISSUE_PROTOCOL,
        **YARDSTICK_PROTOCOL,
        "image_quality_by_sources": _by_sources(source_slices),
        **(others or {}),
        **_starter(starter, starter_flips),
        **_calibration({"starter": starter, "student": student, "teacher": teacher}),
        "dice": DICE_PROTOCOL,
        "dice_fill": "one modality replaced at a time, mean over targets and sources; zero_fill is background (-1)",
        "checkpoint_choice": f"best {student.training.get('validation_metric', 'unknown')} on "
        f"{student.training.get('validated_on', 'the validation split')}",
        "student_sha256": student.sha256,
        "teacher_sha256": teacher.sha256,
        "segmentation_sha256": segmenter.sha256,
        **_gaps(tolerant),
    }


def _training(models: Mapping[str, TranslatorModel]) -> str:
    """Say whose true targets the models were trained with; a student learns from its teacher's."""
    used = {name: count for name, model in models.items() if (count := model.training.get(PAIR_PATIENTS, 0))}
    if not used:
        return "unpaired slices and tumour masks; no loss saw a paired target"
    pairs = ", ".join(f"{name} of {count} patients" for name, count in used.items())
    return f"slices and tumour masks; USES PAIRS, the true targets of training patients: {pairs}"


def _by_sources(slices: int) -> str:
    return _BY_SOURCES + (f", on at most {slices} slices of each case, evenly spaced" if slices else "")


def _starter(starter: TranslatorModel | None, flips: bool) -> dict[str, str]:
    if starter is None:
        return {"starter": "not measured: this installation has no starter weights of these modalities"}
    mirrored = ", mean of a translation and that of the mirror image" if flips else ""
    return {"starter": f"{MEANING}{mirrored}", "starter_sha256": starter.sha256}


def _gaps(tolerant: Segmenter | None) -> dict[str, str]:
    if tolerant is None:
        return {}
    return {"missing_modalities": _MISSING, "segmentation_tolerant_sha256": tolerant.sha256}


def _calibration(models: Mapping[str, TranslatorModel | None]) -> dict[str, str]:
    """Return which models are calibrated, and on what; nothing where none says what it paints."""
    calibrated = [name for name, model in models.items() if model is not None and model.reference_histograms]
    return {"calibration": f"{', '.join(calibrated)}: {_CALIBRATED}"} if calibrated else {}


MEASUREMENTS_FILE = "measurements.csv"
SEPARATOR = "+"
"""Joins the names of several modalities."""


class Measurement(NamedTuple):
    """A row of the long table.

    Attributes:
        case: whose; empty for what is measured of all cases as one set.
        source: the modalities that a translation was made from; empty as above.
        target: the modalities that were made; empty where all four are real.
        method: what made them (`ImageSource`, or a method of a study).
        region: where: a `TumourRegion`, or `brain`, `tissue` or `frame` of `utad_monai.metrics.measures`.
        measure: what (`utad_monai.metrics.measures`).
        value: the number; NaN where it is not defined.
    """

    case: str
    source: str
    target: str
    method: str
    region: str
    measure: str
    value: float


@dataclass
class Measurements:
    """What was measured of some cases.

    Attributes:
        rows: the long table.
        features: `(slices, C)` features by method and target; real images under `ImageSource.REAL`.
    """

    rows: list[Measurement] = field(default_factory=list)
    features: dict[tuple[str, Modality], list[Tensor]] = field(default_factory=dict)

    def add(self, other: Measurements) -> None:
        """Take over what was measured of other cases."""
        self.rows += other.rows
        for key, features in other.features.items():
            self.features.setdefault(key, []).extend(features)

    def of_sets(self) -> Iterator[Measurement]:
        """Yield what is measured of the translations of all cases as one set, by method and target."""
        features = {key: torch.cat(found) for key, found in self.features.items()}
        for (method, target), fakes in features.items():
            if method != ImageSource.REAL:
                cells = measured(SET_MEASURES, (fakes, features[str(ImageSource.REAL), target]))
                yield from (Measurement("", "", str(target), method, *cell) for cell in cells)


def long_table(rows: Iterable[Measurement]) -> pandas.DataFrame:
    """Return the rows with the columns of `Measurement`."""
    return pandas.DataFrame(list(rows), columns=list(Measurement._fields))


def column_of(row: Measurement) -> str:
    """Return the column of a row where each measure has one."""
    return column(row.measure, row.region)


def wide_table(
    rows: Iterable[Measurement],
    names: Sequence[str],
    columns: Sequence[str],
    of: Callable[[Measurement], str] = column_of,
) -> pandas.DataFrame:
    """Return some rows of the long table with a column per measure, in the order of their first appearance.

    Args:
        rows: of the long table.
        names: the columns of the long table that tell rows apart.
        columns: the measured columns: NaN where one was not measured, and no others.
        of: gives the column of a measurement.
    """
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(getattr(row, name) for name in names)
        found.setdefault(key, dict(zip(names, key, strict=True)))[of(row)] = row.value
    return pandas.DataFrame(list(found.values()), columns=[*names, *columns])
