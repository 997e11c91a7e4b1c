"""The parts of an evaluation: pairs, translations alone, several sources, missing modalities, augmentation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import combinations, permutations

from utad_monai.engines.measurements import Measurements
from utad_monai.engines.method_on_case import MethodOnCase, Sources
from utad_monai.keys import ImageSource, Modality
from utad_monai.metrics.downstream import DownstreamSegmentation
from utad_monai.transforms import BACKGROUND

Evaluation = Callable[[MethodOnCase, Measurements], None]
"""Adds what it measures of one method on one case to the measurements."""


class Pairs:
    """Every source to every target: the image, and the segmentation with that one modality replaced.

    Args:
        network: a case that lacks one of its modalities is not segmented.
        segmented: names of the methods whose images are segmented; all when None.
    """

    def __init__(self, network: DownstreamSegmentation, segmented: Collection[str] | None = None) -> None:
        self.network = network
        self.segmented = segmented

    def __call__(self, subject: MethodOnCase, found: Measurements) -> None:
        """Measure one method on one case."""
        images = subject.case.images
        wanted = self.segmented is None or subject.method.name in self.segmented
        for source, target in permutations(images, 2):
            cells = subject.image((source,), target)
            if wanted and images.keys() >= set(self.network.modalities):
                filled = {**images, target: subject.make((source,), target)}
                cells = cells + subject.segmentation(self.network, filled)
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
        network: sees all modalities.
        best_source: the source of a target among the available ones, the same for all methods of one source; those
            that take several get all.
    """

    def __init__(self, network: DownstreamSegmentation, best_source: Callable[[Modality, Sources], Modality]) -> None:
        self.network = network
        self.best_source = best_source

    def __call__(self, subject: MethodOnCase, found: Measurements) -> None:
        """Measure one method on one complete case."""
        images = subject.case.images
        for count in range(1, len(images)):
            for available in combinations(images, count):
                missing = [modality for modality in images if modality not in available]
                filled = {modality: images[modality] for modality in available}
                for target in missing:
                    sources = available if subject.method.several else (self.best_source(target, available),)
                    filled[target] = subject.make(sources, target)
                found.rows += subject.rows(available, missing, subject.segmentation(self.network, filled))


class Augmentation:
    """The segmentation of real images by networks of different trainings, which take the place of the method.

    Args:
        networks: the network of each training, by its name.
    """

    def __init__(self, networks: Mapping[str, DownstreamSegmentation]) -> None:
        self.networks = networks

    def __call__(self, subject: MethodOnCase, found: Measurements) -> None:
        """Measure one complete case, on the subject of its real images."""
        if subject.method.name == ImageSource.REAL:
            for name, network in self.networks.items():
                rows = subject.rows(subject.case.images, (), subject.segmentation(network, subject.case.images))
                found.rows += [row._replace(method=name) for row in rows]
