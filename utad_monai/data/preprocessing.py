"""From the files of one case to normalised axial slices, the same way in training and at inference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from torch import Tensor

from utad_monai.data.case_volumes import load_volumes
from utad_monai.data.grid import grid_difference, header_file_of
from utad_monai.data.layouts import Case
from utad_monai.data.layouts.case import SEGMENTATION
from utad_monai.data.quality.finding import CohortError, Finding, FindingKind
from utad_monai.data.quality.soundness import case_warnings, segmentation_warnings
from utad_monai.keys import Modality, Normalisation, SlicePlane
from utad_monai.transforms import (
    BACKGROUND,
    CanonicalLabels,
    FramePlacement,
    IntensityWindow,
    LabelsToTumourRegions,
    NormaliseBrain,
    SliceFrame,
    regions_to_labels,
)


@dataclass(frozen=True)
class Preprocessing:
    """Every parameter that decides what a network sees; it is stored with each trained model.

    Args:
        frame_size_mm: height (anterior-posterior) and width (left-right) of the field of view around the brain.
        image_size: height and width of a slice in pixels, multiples of 16, at least 32 (the bottleneck's InstanceNorm
            needs more than one pixel).
        lower_percentile: brain percentile that maps to -1.
        upper_percentile: brain percentile that maps to 1.
        normalisation: how intensities are scaled; models of other programs and versions may differ.
        plane: how volumes are sliced.

    Raises:
        ValueError: when a size is not positive or not a multiple of 16, or a word is unknown.
    """

    frame_size_mm: tuple[float, float] = (240.0, 240.0)
    image_size: tuple[int, int] = (128, 128)
    lower_percentile: float = 0.5
    upper_percentile: float = 99.5
    normalisation: Normalisation | str = Normalisation.BRAIN_PERCENTILES
    plane: SlicePlane | str = SlicePlane.AXIAL

    def __post_init__(self) -> None:
        object.__setattr__(self, "normalisation", Normalisation(self.normalisation))
        object.__setattr__(self, "plane", SlicePlane(self.plane))
        # JSON gives lists: tuples keep the object hashable and equal however it was made
        object.__setattr__(self, "frame_size_mm", tuple(float(size) for size in self.frame_size_mm))
        object.__setattr__(self, "image_size", tuple(int(size) for size in self.image_size))
        if min(self.frame_size_mm) <= 0 or min(self.image_size) < 32 or any(size % 16 for size in self.image_size):
            raise ValueError(f"frame must be positive and image size a multiple of 16 from 32 on, got {self}")

    def description(self) -> dict[str, Any]:
        """Return the parameters as plain data."""
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return plain | {"normalisation": str(self.normalisation), "plane": str(self.plane)}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Preprocessing:
        """Rebuild the parameters from plain data.

        Raises:
            ValueError: when the data describes a preprocessing that this version does not have.
        """
        unknown = sorted(set(description) - {one.name for one in fields(cls)})
        if unknown:
            raise ValueError(f"another preprocessing: this version does not know {', '.join(unknown)}")
        return cls(**description)

    @property
    def frame(self) -> SliceFrame:
        """The fixed field of view."""
        return SliceFrame(self.frame_size_mm, self.image_size)

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Height and width of a pixel in mm."""
        return self.frame_size_mm[0] / self.image_size[0], self.frame_size_mm[1] / self.image_size[1]

    @property
    def normalise(self) -> NormaliseBrain:
        """The intensity normalisation."""
        return NormaliseBrain(self.lower_percentile, self.upper_percentile)


@dataclass(frozen=True)
class LoadedCase:
    """The volumes of a case on one grid, in LPS voxel order.

    Attributes:
        images: `(1, X, Y, Z)` normalised to [-1, 1], background exactly -1, per available modality.
        windows: intensity window of each image.
        regions: `(3, X, Y, Z)` WT, TC, ET in {0, 1}; None without a segmentation.
        brain: `(X, Y, Z)` bool, voxels that are brain in any image.
        placement: where the frame lies.
        findings: what was doubtful, each thing once.
        headers: the file whose header describes the grid of each image best: its own, unless that is doubtful; empty
            for images that come from no file.
    """

    images: Mapping[Modality, MetaTensor]
    windows: Mapping[Modality, IntensityWindow]
    regions: Tensor | None
    brain: Tensor
    placement: FramePlacement
    findings: tuple[Finding, ...]
    headers: Mapping[Modality, Path] = field(default_factory=dict)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was doubtful, one phrase each, naming the file."""
        return tuple(finding.phrase for finding in self.findings)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxels along x, y and z, in mm."""
        x, y, z = _spacing(next(iter(self.images.values())))
        return x, y, z

    def only(self, modalities: Sequence[Modality]) -> LoadedCase:
        """Return the same case with some of its images; frame and brain stay those of all."""
        images = {modality: image for modality, image in self.images.items() if modality in modalities}
        return replace(self, images=images)


@dataclass(frozen=True)
class CaseSlices:
    """The slices of a case that hold brain.

    Attributes:
        images: `(Z, H, W)` in [-1, 1], background exactly -1, per available modality.
        labels: `(Z, H, W)` uint8 canonical labels; None without a segmentation.
        first_slice: axial index of the first slice in the volume.
    """

    images: Mapping[Modality, Tensor]
    labels: Tensor | None
    first_slice: int


def load_case(case: Case, preprocessing: Preprocessing) -> LoadedCase:
    """Load, check, orient and normalise all volumes of a case.

    Raises:
        CohortError: with every problem of the case: unreadable files, volumes on different grids, unknown labels,
            empty or constant images.
    """
    volumes, problems = load_volumes(case)
    return normalise_case(case, volumes, problems, preprocessing)


def normalise_case(
    case: Case,
    volumes: Mapping[Modality | str, MetaTensor],
    problems: Sequence[Finding],
    preprocessing: Preprocessing,
) -> LoadedCase:
    """Normalise what `load_volumes` returned: the second half of `load_case`.

    Raises:
        CohortError: with the given problems and those of labels and intensities, if there is any.
    """
    problems = list(problems)
    normalise = preprocessing.normalise
    images: dict[Modality, MetaTensor] = {}
    windows: dict[Modality, IntensityWindow] = {}
    for modality in case.images:
        try:
            if modality in volumes:
                images[modality] = normalise(volumes[modality])
                windows[modality] = normalise.window_of(images[modality])
        except ValueError as error:
            problems.append(_image_problem(case, modality, str(error)))
    regions = _regions(case, volumes, problems)
    if problems:
        raise CohortError(problems)
    loaded = _in_frame(images, windows, regions, preprocessing, case_warnings(case, volumes))
    findings = [replace(finding, case_id=case.case_id) for finding in loaded.findings]
    if regions is not None:
        texts = segmentation_warnings(regions[0], loaded.brain)
        kind, file = FindingKind.SEGMENTATION, case.segmentation
        findings.extend(Finding.warning(kind, case.case_id, file, text) for text in texts)
    headers = {modality: header_file_of(volumes[modality]) for modality in images}
    return replace(loaded, findings=tuple(findings), headers=headers)


def normalise_volumes(volumes: Mapping[Modality, MetaTensor], preprocessing: Preprocessing) -> LoadedCase:
    """Normalise images that are in memory, as `load_case` does with files.

    Args:
        volumes: `(1, X, Y, Z)` in file units, background 0, in LPS voxel order.
        preprocessing: what the networks shall see.

    Raises:
        ValueError: when there is no image, one is empty, constant or not finite, or they lie on different grids.
    """
    if not volumes:
        raise ValueError("there is no image")
    first, *others = volumes
    for modality, volume in volumes.items():
        if not bool(torch.isfinite(volume.as_tensor()).all()):
            raise ValueError(f"the {modality} image has voxels that are NaN or infinite")
    for modality in others:
        difference = grid_difference(volumes[first], volumes[modality])
        if difference:
            raise ValueError(f"the {modality} image {difference} than the {first} image")
    normalise = preprocessing.normalise
    images = {modality: normalise(volume) for modality, volume in volumes.items()}
    windows = {modality: normalise.window_of(image) for modality, image in images.items()}
    return _in_frame(images, windows, None, preprocessing, ())


def _in_frame(
    images: Mapping[Modality, MetaTensor],
    windows: Mapping[Modality, IntensityWindow],
    regions: Tensor | None,
    preprocessing: Preprocessing,
    findings: Iterable[Finding],
) -> LoadedCase:
    """Place the frame around the brain of normalised images."""
    brain = reduce(torch.logical_or, (image.as_tensor()[0] > BACKGROUND for image in images.values()))
    placement = preprocessing.frame.place(brain, _spacing(next(iter(images.values()))))
    findings = list(findings)
    if placement.cuts(brain):
        text = f"the brain is larger than the frame of {preprocessing.frame_size_mm} mm: its edge is cut"
        findings.append(Finding.warning(FindingKind.FILE, "", None, text))
    return LoadedCase(images, windows, regions, brain, placement, tuple(findings))


def slice_case(loaded: LoadedCase, preprocessing: Preprocessing) -> CaseSlices:
    """Sample a loaded case as axial slices in the frame, from the first to the last that holds brain."""
    frame = preprocessing.frame
    images = {m: frame.image_to_slices(v.as_tensor()[0], loaded.placement) for m, v in loaded.images.items()}
    occupied = reduce(torch.logical_or, ((image > BACKGROUND).flatten(1).any(dim=1) for image in images.values()))
    indices = occupied.nonzero().flatten()
    first, last = int(indices[0]), int(indices[-1]) + 1
    labels = None
    if loaded.regions is not None:
        labels = regions_to_labels(frame.regions_to_slices(loaded.regions, loaded.placement))[0, first:last]
    return CaseSlices({m: image[first:last] for m, image in images.items()}, labels, first)


def _image_problem(case: Case, modality: Modality, reason: str) -> Finding:
    channel = case.channel(modality)
    named = reason if channel is None else f"channel {channel} ({modality}) {reason}"
    return Finding.error(case.case_id, case.images[modality], named, "replace the image or leave it out")


def _spacing(volume: MetaTensor) -> Sequence[float]:
    return [float(size) for size in volume.pixdim]


def _regions(case: Case, volumes: Mapping[Modality | str, MetaTensor], problems: list[Finding]) -> Tensor | None:
    if case.segmentation is None or SEGMENTATION not in volumes:
        return None
    try:
        labels = CanonicalLabels(case.layout.labels)(volumes[SEGMENTATION].as_tensor())
    except ValueError as error:
        problems.append(Finding.error(case.case_id, case.segmentation, str(error), "map the labels to the layout's"))
        return None
    return LabelsToTumourRegions()(labels)
