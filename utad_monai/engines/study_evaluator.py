"""Every method of a study on the same cases: image quality, shape, consistency and three downstream protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, permutations
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator, IterationEvents
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from utad_monai.contrast import TranslationMethod, takes_several
from utad_monai.data.quality.finding import empty_split
from utad_monai.keys import BatchKey, ImageSource, Modality, TumourRegion
from utad_monai.metrics.consistency import slice_consistency
from utad_monai.metrics.downstream import DownstreamSegmentation
from utad_monai.metrics.image_quality import identity_copy_score, image_quality, multi_scale_ssim
from utad_monai.metrics.segmentation import lesion_volume_change, region_dice, region_hausdorff
from utad_monai.metrics.tissue_contrast import tissue_contrast
from utad_monai.transforms import BACKGROUND

Images = Mapping[Modality, Tensor]
Fill = Callable[[tuple[Modality, ...], Modality], Tensor]
"""Gives the image that stands for a target, made from sources."""
Made = dict[tuple[tuple[Modality, ...], Modality], Tensor]
"""What a method made of a case, by sources and target; it lives as long as the method is measured."""
SEPARATOR = "+"
"""Joins the names of available modalities in the subset table."""


@dataclass(frozen=True)
class StudySegmenters:
    """The networks that measure a study's methods.

    Attributes:
        complete: sees four modalities.
        single: each sees one modality (S-score, features).
        augmented: sees four modalities; it was trained on real and synthetic images.
    """

    complete: DownstreamSegmentation
    single: Mapping[Modality, DownstreamSegmentation]
    augmented: DownstreamSegmentation


@dataclass
class StudyMeasurements:
    """What a study measured.

    Attributes:
        pairs: one row per case, source, target and method.
        subsets: one row per case, set of available modalities and method.
        augmentation: one row per case and training of the segmentation network.
        features: `(slices, C)` features by method and target; real images under `ImageSource.REAL`.
    """

    pairs: list[dict[str, Any]] = field(default_factory=list)
    subsets: list[dict[str, Any]] = field(default_factory=list)
    augmentation: list[dict[str, Any]] = field(default_factory=list)
    features: dict[tuple[str, Modality], list[Tensor]] = field(default_factory=dict)

    def add(self, other: StudyMeasurements) -> None:
        """Take over what was measured on other cases."""
        self.pairs += other.pairs
        self.subsets += other.subsets
        self.augmentation += other.augmentation
        for key, features in other.features.items():
            self.features.setdefault(key, []).extend(features)


class StudyEvaluator(Evaluator):
    """Measure many methods on complete test cases; the results are in `measurements`.

    Besides the study's methods it measures the real target (the bound of the downstream Dice), a copy of the source, a
    zero-filled image and the yardsticks.

    Args:
        device: where to compute.
        val_data_loader: yields complete cases of `utad_monai.data.EvaluationCases`, one at a time.
        translators: the methods by name; those that take several sources (`takes_several`) get all that are available.
        segmenters: the networks that measure them.
        yardsticks: what the methods must beat (`utad_monai.contrast.fit_yardsticks`), by name.
        best_source: the source of a target when only some modalities are available; the same for all methods of one
            source.
        val_handlers: handlers with an `attach` method.

    Raises:
        CohortError: when there is no case to measure.
    """

    def __init__(
        self,
        device: torch.device | str,
        val_data_loader: DataLoader[Any],
        translators: Mapping[str, TranslationMethod],
        segmenters: StudySegmenters,
        yardsticks: Mapping[ImageSource, TranslationMethod],
        best_source: Callable[[Modality, tuple[Modality, ...]], Modality],
        val_handlers: Sequence[Any] | None = None,
    ) -> None:
        if len(val_data_loader) == 0:
            raise empty_split("complete test case with a segmentation")
        self.translators = dict(translators)
        self.segmenters = segmenters
        self.yardsticks = {str(name): method for name, method in yardsticks.items()}
        self.best_source = best_source
        self.measurements = StudyMeasurements()
        super().__init__(device=device, val_data_loader=val_data_loader, val_handlers=val_handlers, decollate=False)
        self.add_event_handler(Events.STARTED, self._open)
        self.add_event_handler(Events.COMPLETED, self._close)

    def _open(self, _: Engine) -> None:
        self.measurements = StudyMeasurements()
        total = len(_BASELINES) + len(self.yardsticks) + len(self.translators)
        self._bar = tqdm(total=(self.state.epoch_length or 0) * total, desc="Measuring the study", unit="method")

    def _close(self, _: Engine) -> None:
        self._bar.close()

    def _iteration(self, engine: Any, batchdata: dict[str, Any]) -> dict[str, Any]:
        """Measure one case with every method."""
        case = _Case(batchdata)
        for method, fill in self._fills(case):
            made: Made = {((source,), target): fill((source,), target) for source, target in permutations(Modality, 2)}
            segment = _SegmentOnce(self.segmenters.complete, case)
            self._pairs(case, method, made, segment)
            self._subsets(case, method, made, fill, segment)
            self._bar.update()
        self._augmentation(case)
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return {}

    def _fills(self, case: _Case) -> Iterator[tuple[str, Fill]]:
        images, mask = case.images, case.truth[0]
        empty = torch.full_like(images[Modality.FLAIR], BACKGROUND)
        yield str(ImageSource.REAL), lambda _, target: images[target]
        yield str(ImageSource.COPY_SOURCE), lambda sources, _: images[sources[0]]
        yield str(ImageSource.ZERO_FILL), lambda _, __: empty
        for method, translate in self._methods.items():
            yield method, lambda sources, target, to=translate: to({s: images[s] for s in sources}, target, mask)  # type: ignore[misc]

    @property
    def _methods(self) -> dict[str, TranslationMethod]:
        """Everything that translates, by name."""
        return {**self.yardsticks, **self.translators}

    def _pairs(self, case: _Case, method: str, made: Made, segment: _SegmentOnce) -> None:
        """Protocol "replace", one modality at a time, the S-score and the features of every translation."""
        known: dict[tuple[Modality, int], tuple[dict[str, float], dict[str, float], Tensor]] = {}
        for ((source,), target), image in made.items():
            names = {"case": case.name, "source": str(source), "target": str(target), "method": method}
            key = target, image.data_ptr()  # real and zero-filled images are the same from every source
            if key not in known:
                alone, features = self.segmenters.single[target].segment_with_features({target: image})
                score = {f"s_score_{region}": dice for region, dice in region_dice(alone, case.truth).items()}
                known[key] = measure_image(image, case.images[target], case.truth), score, features
            measured, score, features = known[key]
            copied = identity_copy_score(case.images[source], image, case.images[target])
            overlap, volumes = segment(dict(case.images) | {target: image})
            self.measurements.pairs.append(names | measured | {"identity_copy": copied} | overlap | volumes | score)
            if method != ImageSource.REAL or source == _first_source(target):  # real images do not depend on the source
                brain = (case.images[target] > BACKGROUND).flatten(1).any(dim=1)
                self.measurements.features.setdefault((method, target), []).append(features[brain])

    def _subsets(self, case: _Case, method: str, made: Made, fill: Fill, segment: _SegmentOnce) -> None:
        """Protocol "replace", every subset of missing modalities, each made from all available ones or the best."""
        several = takes_several(self._methods.get(method))
        for count in range(1, len(Modality)):
            for available in combinations(Modality, count):
                filled = {target: case.images[target] for target in available}
                for target in (modality for modality in Modality if modality not in available):
                    sources = available if several else (self.best_source(target, available),)
                    if (sources, target) not in made:
                        made[sources, target] = fill(sources, target)
                    filled[target] = made[sources, target]
                names = {"case": case.name, "available": SEPARATOR.join(available), "method": method}
                self.measurements.subsets.append(names | segment(filled)[0])

    def _augmentation(self, case: _Case) -> None:
        """Protocol "augmentation": what synthetic images add to the training of the segmentation network."""
        trained = {
            ImageSource.REAL: self.segmenters.complete,
            ImageSource.REAL_AND_SYNTHETIC: self.segmenters.augmented,
        }
        for method, network in trained.items():
            row = {"case": case.name, "method": str(method)}
            self.measurements.augmentation.append(row | case.overlap(network.segment(case.images)))


_BASELINES = (ImageSource.REAL, ImageSource.COPY_SOURCE, ImageSource.ZERO_FILL)


class _Case:
    """One complete case and what its segmentations are compared with."""

    def __init__(self, batchdata: Mapping[str, Any]) -> None:
        self.name: str = batchdata[BatchKey.CASE_ID]
        self.images: Images = batchdata[BatchKey.IMAGE]
        self.truth: Tensor = batchdata[BatchKey.LABEL]
        self.spacing_mm: Sequence[float] = batchdata[BatchKey.SPACING_MM]

    def overlap(self, predicted: Tensor) -> dict[str, float]:
        """Return Dice and HD95 of each region."""
        dice = region_dice(predicted, self.truth)
        distance = region_hausdorff(predicted, self.truth, self.spacing_mm)
        return {f"dice_{r}": dice[r] for r in TumourRegion} | {f"hd95_{r}": distance[r] for r in TumourRegion}


class _SegmentOnce:
    """Segment and measure the same images only once: many sets of modalities come to the same four volumes.

    Valid while all volumes that it was given are alive.
    """

    def __init__(self, network: DownstreamSegmentation, case: _Case) -> None:
        self.network = network
        self.case = case
        self._known: dict[tuple[int, ...], tuple[dict[str, float], dict[str, float]]] = {}

    def __call__(self, images: Images) -> tuple[dict[str, float], dict[str, float]]:
        """Return the overlap of four modalities' segmentation with the truth, and its change of volumes."""
        key = tuple(images[modality].data_ptr() for modality in Modality)
        if key not in self._known:
            predicted = self.network.segment(images)
            changes = lesion_volume_change(predicted, self.case.truth)
            volumes = {f"volume_change_{region}": change for region, change in changes.items()}
            self._known[key] = self.case.overlap(predicted), volumes
        return self._known[key]


def _first_source(target: Modality) -> Modality:
    return next(modality for modality in Modality if modality != target)


def measure_image(translated: Tensor, real: Tensor, truth: Tensor) -> dict[str, float]:
    """Return every measure of one translated volume that needs neither its source nor a segmentation network.

    Args:
        translated: `(Z, H, W)` in [-1, 1], background exactly -1.
        real: the true target, the same shape and range.
        truth: `(3, Z, H, W)` regions in {0, 1}, order of `TumourRegion`.

    Returns:
        Image quality of brain, whole tumour and enhancing tumour, `ms_ssim`, `slice_consistency`, `tissue_order` and
        `tissue_contrast`.
    """
    regions = dict(zip(TumourRegion, truth, strict=True))
    return {
        **image_quality(real, translated, regions[TumourRegion.WT], regions[TumourRegion.ET]),
        "ms_ssim": multi_scale_ssim(real, translated),
        "slice_consistency": slice_consistency(real, translated),
        **tissue_contrast(real, translated, regions[TumourRegion.WT]),
    }
