"""One method on one case: what it makes and what is measured of that, each once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from utad_monai.contrast import TranslationMethod, takes_several
from utad_monai.engines.measurements import SEPARATOR, Measurement
from utad_monai.keys import BatchKey, ImageSource, Modality
from utad_monai.metrics.downstream import DownstreamSegmentation
from utad_monai.metrics.measures import (
    ALONE_MEASURES,
    IMAGE_MEASURES,
    SEGMENTATION_MEASURES,
    SOURCE_MEASURES,
    Cell,
    Segmentation,
    TranslatedVolume,
    measured,
)
from utad_monai.transforms import BACKGROUND

Known = TypeVar("Known")
Sources = tuple[Modality, ...]
Images = Mapping[Modality, Tensor]


@dataclass(frozen=True)
class EvaluatedCase:
    """A case of `utad_monai.data.EvaluationCases`.

    Attributes:
        name: its name.
        images: `(Z, H, W)` in [-1, 1] of the modalities that it has, background exactly -1.
        truth: `(3, Z, H, W)` regions in {0, 1}, order of `TumourRegion`.
        spacing_mm: distance of voxels along Z, H and W.
        thinned_to: how many slices were chosen at most; 0 for all.
    """

    name: str
    images: Images
    _: KW_ONLY
    truth: Tensor
    spacing_mm: Sequence[float]
    thinned_to: int = 0

    @classmethod
    def of(cls, batch: Mapping[str, Any]) -> EvaluatedCase:
        """Return the case of a batch."""
        name, images = batch[BatchKey.CASE_ID], batch[BatchKey.IMAGE]
        return cls(name, images, truth=batch[BatchKey.LABEL], spacing_mm=batch[BatchKey.SPACING_MM])

    @cached_property
    def empty(self) -> Tensor:
        """An image of background."""
        return torch.full_like(next(iter(self.images.values())), BACKGROUND)

    def thinned(self, count: int) -> EvaluatedCase:
        """Return the case with at most `count` slices, evenly spaced over those that show brain in any image."""
        brain = torch.stack([image > BACKGROUND for image in self.images.values()]).any(dim=0)
        shown = brain.flatten(1).any(dim=1).nonzero()[:, 0]
        if len(shown) > count:
            shown = shown[((torch.arange(count) + 0.5) * len(shown) / count).long()]
        images = {modality: image[shown] for modality, image in self.images.items()}
        return replace(self, images=images, truth=self.truth[:, shown], thinned_to=count)


@dataclass(frozen=True)
class Method:
    """What stands for a target.

    Attributes:
        name: how the tables call it.
        fill: gives `(Z, H, W)` in [-1, 1] for a case, sources and a target.
        several: whether it takes any number of sources at once.
    """

    name: str
    fill: Callable[[EvaluatedCase, Sources, Modality], Tensor]
    _: KW_ONLY
    several: bool = False

    @classmethod
    def of(cls, name: str, translate: TranslationMethod) -> Method:
        """Return a method that translates."""

        def fill(case: EvaluatedCase, sources: Sources, target: Modality) -> Tensor:
            return translate({source: case.images[source] for source in sources}, target, case.truth[0])

        return cls(name, fill, several=takes_several(translate))


BASELINES = (
    Method(str(ImageSource.REAL), lambda case, _, target: case.images[target]),
    Method(str(ImageSource.COPY_SOURCE), lambda case, sources, _: case.images[sources[0]]),
    Method(str(ImageSource.ZERO_FILL), lambda case, _, __: case.empty),
)
"""What is measured beside every method: the real target, a copy of the source, and background."""


class MethodOnCase:
    """One method on one case.

    Args:
        case: the case.
        method: the method.
    """

    def __init__(self, case: EvaluatedCase, method: Method) -> None:
        self.case = case
        self.method = method
        self._known: dict[Hashable, Any] = {}

    def make(self, sources: Sources, target: Modality) -> Tensor:
        """Return the image that stands for a target, `(Z, H, W)` in [-1, 1]."""
        return self._once((sources, target), lambda: self.method.fill(self.case, sources, target))

    def image(self, sources: Sources, target: Modality) -> list[Cell]:
        """Return the image measures of a translation."""
        made, real = self.make(sources, target), self.case.images[target]
        measures = [one for one in IMAGE_MEASURES if not (one.needs_neighbours and self.case.thinned_to)]
        # keyed by the image: real and zero-filled ones are the same from every source
        translation = TranslatedVolume(made, real, truth=self.case.truth)
        cells = self._once((target, made.data_ptr()), lambda: measured(measures, translation))
        if len(sources) > 1:
            return cells
        return cells + measured(SOURCE_MEASURES, (self.case.images[sources[0]], made, real))

    def segmentation(self, network: DownstreamSegmentation, images: Images) -> list[Cell]:
        """Return the measures of a network's segmentation of a case of which some modalities were made."""
        return self._once(
            (id(network), *(images[modality].data_ptr() for modality in network.modalities)),
            lambda: measured(SEGMENTATION_MEASURES, self._beside_truth(network.segment(images))),
        )

    def alone(self, network: DownstreamSegmentation, images: Images) -> tuple[list[Cell], Tensor]:
        """Return the measures of a network's segmentation of a translation alone, and features `(Z, C)` of its slices.

        Args:
            network: sees the one modality.
            images: the translation, by its modality.
        """

        def segment() -> tuple[list[Cell], Tensor]:
            regions, features = network.segment_with_features(images)
            return measured(ALONE_MEASURES, self._beside_truth(regions)), features

        return self._once((id(network), *((target, image.data_ptr()) for target, image in images.items())), segment)

    def rows(
        self, sources: Iterable[Modality], targets: Iterable[Modality], cells: Iterable[Cell]
    ) -> list[Measurement]:
        """Return rows of the long table; slices that were chosen are a region of their own."""
        names = self.case.name, SEPARATOR.join(sources), SEPARATOR.join(targets), self.method.name
        chosen = of_slices(self.case.thinned_to)
        return [Measurement(*names, region + chosen, measure, value) for region, measure, value in cells]

    def _beside_truth(self, predicted: Tensor) -> Segmentation:
        return Segmentation(predicted, self.case.truth, spacing_mm=self.case.spacing_mm)

    def _once(self, key: Hashable, compute: Callable[[], Known]) -> Known:
        """Return what was computed under a key, now or before; images live as long as the subject, so do their keys."""
        if key not in self._known:
            self._known[key] = compute()
        known: Known = self._known[key]
        return known


def of_slices(count: int) -> str:
    """Return what the name of a region ends with when at most so many slices were chosen; nothing for 0."""
    return f" of {count} slices" if count else ""
