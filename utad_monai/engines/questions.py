"""What an evaluation asks: pairs, translations alone, several sources, missing modalities, augmentation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import combinations, permutations

from utad_monai.engines.measurements import Measurements
from utad_monai.engines.trial import Sources, Trial
from utad_monai.keys import ImageSource, Modality
from utad_monai.metrics.downstream import DownstreamSegmentation
from utad_monai.transforms import BACKGROUND

Question = Callable[[Trial, Measurements], None]
"""Adds what it measures of one method on one case to the measurements."""


class Pairs:
    """Every source to every target: the image, and the segmentation with that one modality replaced.

    Args:
        network: sees four modalities; a case that lacks one is not segmented.
        segmented: names of the methods whose images are segmented; all when None.
    """

    def __init__(self, network: DownstreamSegmentation, segmented: Collection[str] | None = None) -> None:
        self.network = network
        self.segmented = segmented

    def __call__(self, trial: Trial, found: Measurements) -> None:
        """Measure one method on one case."""
        images = trial.case.images
        wanted = self.segmented is None or trial.method.name in self.segmented
        for source, target in permutations(images, 2):
            cells = trial.image((source,), target)
            if wanted and len(images) == len(Modality):
                filled = {**images, target: trial.make((source,), target)}
                cells = cells + trial.segmentation(self.network, filled)
            found.rows += trial.rows((source,), (target,), cells)


class Alone:
    """Every source to every target, seen by a network that sees nothing else: S-score, and features for FID and KID.

    Args:
        networks: the network that sees a modality.
    """

    def __init__(self, networks: Mapping[Modality, DownstreamSegmentation]) -> None:
        self.networks = networks

    def __call__(self, trial: Trial, found: Measurements) -> None:
        """Measure one method on one complete case."""
        for source, target in permutations(Modality, 2):
            cells, features = trial.alone(self.networks[target], {target: trial.make((source,), target)})
            found.rows += trial.rows((source,), (target,), cells)
            first = next(modality for modality in Modality if modality != target)
            if trial.method.name != ImageSource.REAL or source == first:  # real images do not depend on the source
                brain = (trial.case.images[target] > BACKGROUND).flatten(1).any(dim=1)
                found.features.setdefault((trial.method.name, target), []).append(features[brain])


class SeveralSources:
    """Every target from every set of the other modalities, by the methods that take several at once: the image.

    Args:
        slices: of each case at most so many are measured, from single sources, too; 0 for all, as `Pairs` does.
    """

    def __init__(self, slices: int = 0) -> None:
        self.slices = slices

    def __call__(self, trial: Trial, found: Measurements) -> None:
        """Measure one method on one case."""
        if not trial.method.several:
            return
        thinned = Trial(trial.case.thinned(self.slices), trial.method) if self.slices else trial
        for target in thinned.case.images:
            others = [modality for modality in thinned.case.images if modality != target]
            for count in range(1 if self.slices else 2, len(others) + 1):
                for sources in combinations(others, count):
                    found.rows += thinned.rows(sources, (target,), thinned.image(sources, target))


class MissingModalities:
    """Every set of one to three available modalities, the others made: the segmentation.

    Args:
        network: sees four modalities.
        best_source: the source of a target among the available ones, the same for all methods of one source; those
            that take several get all.
    """

    def __init__(self, network: DownstreamSegmentation, best_source: Callable[[Modality, Sources], Modality]) -> None:
        self.network = network
        self.best_source = best_source

    def __call__(self, trial: Trial, found: Measurements) -> None:
        """Measure one method on one complete case."""
        for count in range(1, len(Modality)):
            for available in combinations(Modality, count):
                missing = [modality for modality in Modality if modality not in available]
                filled = {modality: trial.case.images[modality] for modality in available}
                for target in missing:
                    sources = available if trial.method.several else (self.best_source(target, available),)
                    filled[target] = trial.make(sources, target)
                found.rows += trial.rows(available, missing, trial.segmentation(self.network, filled))


class Augmentation:
    """The segmentation of real images by networks of different trainings, which take the place of the method.

    Args:
        networks: the network of each training, by its name.
    """

    def __init__(self, networks: Mapping[str, DownstreamSegmentation]) -> None:
        self.networks = networks

    def __call__(self, trial: Trial, found: Measurements) -> None:
        """Measure one complete case, on the trial of its real images."""
        if trial.method.name == ImageSource.REAL:
            for name, network in self.networks.items():
                rows = trial.rows(Modality, (), trial.segmentation(network, trial.case.images))
                found.rows += [row._replace(method=name) for row in rows]
