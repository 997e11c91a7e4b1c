"""The parts of an evaluation: pairs, translations alone, several sources, missing modalities, augmentation."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import combinations, permutations
from typing import Any

import pandas
import torch

from utad_monai.contrast import not_beaten
from utad_monai.engines.measurements import SEPARATOR, Measurement, Measurements, column_of, wide_table
from utad_monai.engines.method_on_case import MethodOnCase, Sources, of_slices
from utad_monai.engines.routes import gap_summary, tolerant_route
from utad_monai.keys import ImageSource, Modality, TumourRegion
from utad_monai.metrics.downstream import DownstreamSegmentation
from utad_monai.models import Segmenter
from utad_monai.transforms import BACKGROUND

Evaluation = Callable[[MethodOnCase, Measurements], None]
"""Adds what it measures of one method on one case to the measurements."""


class Pairs:
    """Every source to every target: the image, and the segmentation with that one modality replaced.

    Args:
        network: a case that lacks one of its modalities is not segmented; without a network none is.
        segmented: names of the methods whose images are segmented; all when None.
    """

    def __init__(self, network: DownstreamSegmentation | None, segmented: Collection[str] | None = None) -> None:
        self.network = network
        self.segmented = segmented

    def __call__(self, subject: MethodOnCase, found: Measurements) -> None:
        """Measure one method on one case."""
        images = subject.case.images
        network = self.network if self.segmented is None or subject.method.name in self.segmented else None
        for source, target in permutations(images, 2):
            cells = subject.image((source,), target)
            if network is not None and _shows(subject, network):
                filled = {**images, target: subject.make((source,), target)}
                cells = cells + subject.segmentation(network, filled)
            found.rows += subject.rows((source,), (target,), cells)


class Alone:
    """Every source to every target, seen by a network that sees nothing else: S-score, and features for FID and KID.

    Args:
        networks: the network that sees a modality.
    """

    def __init__(self, networks: Mapping[Modality, DownstreamSegmentation]) -> None:
        self.networks = networks

    def __call__(self, subject: MethodOnCase, found: Measurements) -> None:
        """Measure one method on one complete case."""
        images = subject.case.images
        for source, target in permutations(images, 2):
            cells, features = subject.alone(self.networks[target], {target: subject.make((source,), target)})
            found.rows += subject.rows((source,), (target,), cells)
            first = next(modality for modality in images if modality != target)
            if subject.method.name != ImageSource.REAL or source == first:  # real images do not depend on the source
                brain = (images[target] > BACKGROUND).flatten(1).any(dim=1)
                found.features.setdefault((subject.method.name, target), []).append(features[brain])


class SeveralSources:
    """Every target from every set of the other modalities, by the methods that take several at once: the image.

    Args:
        slices: of each case at most so many are measured, from single sources, too; 0 for all, as `Pairs` does.
    """

    def __init__(self, slices: int = 0) -> None:
        self.slices = slices

    def __call__(self, subject: MethodOnCase, found: Measurements) -> None:
        """Measure one method on one case."""
        if not subject.method.several:
            return
        thinned = MethodOnCase(subject.case.thinned(self.slices), subject.method) if self.slices else subject
        for target in thinned.case.images:
            others = [modality for modality in thinned.case.images if modality != target]
            for count in range(1 if self.slices else 2, len(others) + 1):
                for sources in combinations(others, count):
                    found.rows += thinned.rows(sources, (target,), thinned.image(sources, target))


class MissingModalities:
    """Every set of some available modalities, the others made: the segmentation.

    Args:
        network: sees all modalities; a case that lacks one of them is not segmented.
        best_source: the source of a target among the available ones, the same for all methods of one source; those
            that take several get all.
        methods: names of the methods that are measured; all when None.
        tolerant: whether the network was trained with modalities absent: its rows have names of their own
            (`tolerant_route`).
    """

    def __init__(
        self,
        network: DownstreamSegmentation,
        best_source: Callable[[Modality, Sources], Modality],
        *,
        methods: Collection[str] | None = None,
        tolerant: bool = False,
    ) -> None:
        self.network = network
        self.best_source = best_source
        self.methods = methods
        self.tolerant = tolerant

    def __call__(self, subject: MethodOnCase, found: Measurements) -> None:
        """Measure one method on one case."""
        name = subject.method.name
        if (self.methods is None or name in self.methods) and _shows(subject, self.network):
            rows = self._rows(subject)
            found.rows += [row._replace(method=tolerant_route(name)) for row in rows] if self.tolerant else rows

    def _rows(self, subject: MethodOnCase) -> Iterator[Measurement]:
        seen = self.network.modalities
        images = {modality: image for modality, image in subject.case.images.items() if modality in seen}
        for count in range(1, len(images)):
            for available in combinations(images, count):
                missing = [modality for modality in images if modality not in available]
                filled = {modality: images[modality] for modality in available}
                for target in missing:
                    sources = available if subject.method.several else (self.best_source(target, available),)
                    filled[target] = subject.make(sources, target)
                yield from subject.rows(available, missing, subject.segmentation(self.network, filled))


class Augmentation:
    """The segmentation of real images by networks of different trainings, which take the place of the method.

    Args:
        networks: the network of each training, by its name.
    """

    def __init__(self, networks: Mapping[str, DownstreamSegmentation]) -> None:
        self.networks = networks

    def __call__(self, subject: MethodOnCase, found: Measurements) -> None:
        """Measure one case, on the subject of its real images, by the networks that it has all images for."""
        if subject.method.name == ImageSource.REAL:
            for name, network in self.networks.items():
                if not _shows(subject, network):
                    continue
                rows = subject.rows(subject.case.images, (), subject.segmentation(network, subject.case.images))
                found.rows += [row._replace(method=name) for row in rows]


def _shows(subject: MethodOnCase, network: DownstreamSegmentation) -> bool:
    """Tell whether a case has every image that a network sees."""
    return subject.case.images.keys() >= set(network.modalities)


ROUTES = (ImageSource.ZERO_FILL, ImageSource.STUDENT, ImageSource.STARTER)
"""What fills the gaps of an evaluation: nothing, and what needs no mask of the tumour."""


def gap_questions(
    plain: DownstreamSegmentation,
    tolerant: Segmenter | None,
    *,
    best_source: Callable[[Modality, Sources], Modality],
    device: torch.device | str = "cpu",
) -> list[Evaluation]:
    """Return what is asked about every set of missing modalities; nothing without a network that tolerates gaps.

    Args:
        plain: the network that was trained on complete cases.
        tolerant: the one that was trained with modalities absent.
        best_source: see `MissingModalities`.
        device: where to compute.
    """
    if tolerant is None:
        return []
    network = DownstreamSegmentation(tolerant.network, device, modalities=tolerant.modalities)
    return [
        MissingModalities(plain, best_source, methods=ROUTES),
        MissingModalities(network, best_source, methods=ROUTES, tolerant=True),
        Augmentation({str(ImageSource.REAL): plain, tolerant_route(ImageSource.REAL): network}),
    ]


TABLE_FILE = "evaluation.csv"
SUMMARY_FILE = "summary.json"

PAIR_ARROW = "->"
"""Stands between source and target in the names of pairs."""
QUALITY = (
    *("ssim", "psnr", "nmse", "mae"),
    *("tumour_ssim", "tumour_psnr", "tumour_nmse", "tumour_mae"),
    *("tissue_order", "tissue_contrast"),
)
"""What both files say of the images of every method."""
FILLS = {
    ImageSource.REAL: ImageSource.REAL,
    ImageSource.STUDENT: ImageSource.SYNTHESIZED,
    ImageSource.COPY_SOURCE: ImageSource.COPY_SOURCE,
    ImageSource.ZERO_FILL: ImageSource.ZERO_FILL,
}
"""The methods of which both files have the Dice, and what they call it."""
_DICE_COLUMNS = tuple(
    f"dice_{fill}_{region}"
    for fill in (ImageSource.SYNTHESIZED, ImageSource.COPY_SOURCE, ImageSource.REAL, ImageSource.ZERO_FILL)
    for region in TumourRegion
)
_NAMES = ("case", "source", "target")


@dataclass(frozen=True)
class EvaluationViews:
    """What both files show.

    Attributes:
        rows: the long table.
        translators: names of the methods.
        yardsticks: names of what they must beat.
        several: names of those that take several sources at once.
        slices: how many slices of a case were measured by number of sources; 0 for all.
    """

    rows: Sequence[Measurement]
    translators: Sequence[ImageSource]
    _: KW_ONLY
    yardsticks: Sequence[ImageSource]
    several: Sequence[str]
    slices: int = 0

    def table(self) -> pandas.DataFrame:
        """Return `<method>_<measure>` and `dice_<fill>_<region>` of every case, source and target."""
        chosen, shown = of_slices(self.slices), {*self._methods, *FILLS}
        pairs = [
            row
            for row in self.rows
            if row.method in shown
            and SEPARATOR not in row.source + row.target
            and not (chosen and row.region.endswith(chosen))
        ]
        return wide_table(pairs, _NAMES, [*_quality_columns(self._methods), *_DICE_COLUMNS], _column)

    def summary(self) -> dict[str, Any]:
        """Return the means over cases, of all pairs, of each and by number of sources, as plain data (NaN is None).

        `below_contrast_map` names the measures in which a method is no better than the unpaired contrast map.
        """
        table = self.table()
        quality = _means(table, self._methods)
        return {
            "image_quality": quality,
            "image_quality_by_pair": {
                f"{source}{PAIR_ARROW}{target}": _means(rows, self._methods)
                for (source, target), rows in table.groupby(["source", "target"], sort=False)
            },
            "image_quality_by_sources": self._by_sources(),
            "below_contrast_map": self._below_contrast_map(quality),
            "dice": {
                str(fill): {str(region): _mean(table, f"dice_{fill}_{region}") for region in TumourRegion}
                for fill in FILLS.values()
            },
            "cases": int(table["case"].nunique()),
        } | ({"missing_modalities": gaps} if (gaps := gap_summary(self.rows)) else {})

    @property
    def _methods(self) -> tuple[str, ...]:
        return (*self.translators, ImageSource.COPY_SOURCE, *self.yardsticks)

    def _by_sources(self) -> dict[str, dict[str, dict[str, float | None]]]:
        """Return the means of the methods that take several sources, by the number that they were given."""
        chosen = of_slices(self.slices)
        rows = [
            row._replace(region=row.region.removesuffix(chosen))
            for row in self.rows
            if row.method in self.several and row.measure != "dice" and row.region.endswith(chosen)
        ]
        table = wide_table(rows, _NAMES, _quality_columns(self.several), _column)
        counts = table["source"].map(lambda sources: 1 + sources.count(SEPARATOR))
        return {str(count): _means(found, self.several) for count, found in table.groupby(counts)}

    def _below_contrast_map(self, quality: dict[str, dict[str, float | None]]) -> dict[str, list[str]]:
        if ImageSource.CONTRAST_MAP not in self.yardsticks:
            return {}
        judged = {str(name): not_beaten(quality[name], quality[ImageSource.CONTRAST_MAP]) for name in self.translators}
        return {name: measures for name, measures in judged.items() if measures}


def _column(row: Measurement) -> str:
    is_dice = row.measure == "dice"
    return f"dice_{FILLS[ImageSource(row.method)]}_{row.region}" if is_dice else f"{row.method}_{column_of(row)}"


def _quality_columns(methods: Iterable[str]) -> list[str]:
    return [f"{method}_{measure}" for method in methods for measure in QUALITY]


def _means(table: pandas.DataFrame, methods: Iterable[str]) -> dict[str, dict[str, float | None]]:
    return {str(method): {measure: _mean(table, f"{method}_{measure}") for measure in QUALITY} for method in methods}


def _mean(table: pandas.DataFrame, column: str) -> float | None:
    """Return the mean of a column without its NaNs; None when nothing is left."""
    mean = float(table[column].mean())
    return None if math.isnan(mean) else round(mean, 6)
