"""From the files of one case to normalised axial slices, the same way in training and at inference."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Compose
from torch import Tensor

from utad_monai.data.case_volumes import load_volumes, loading_transforms, run_transforms
from utad_monai.data.layouts import Case
from utad_monai.data.layouts.case import SEGMENTATION
from utad_monai.data.quality.finding import CohortError, Finding, FindingKind
from utad_monai.data.quality.soundness import case_warnings, segmentation_warnings
from utad_monai.keys import FOUR_MODALITIES, Modality, ModalitySet, Normalisation, SlicePlane
from utad_monai.transforms import (
    CanonicalLabelsd,
    CutSlicesd,
    FramePlacement,
    IntensityWindow,
    LabelsToTumourRegionsd,
    NormaliseBrain,
    NormaliseBraind,
    PlaceFramed,
    SliceFrame,
)
from utad_monai.transforms.grid import grid_difference, header_file_of
from utad_monai.transforms.labels import LABEL_MEANINGS
from utad_monai.transforms.load import PROBLEMS
from utad_monai.transforms.slice_frame import BRAIN, FIRST_SLICE, FRAME, FRAME_PLACEMENT


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
        modalities: which there are; their order is that of every one-hot code.

    Raises:
        ValueError: when a size is not positive or not a multiple of 16, or a word is unknown.
    """

    frame_size_mm: tuple[float, float] = (240.0, 240.0)
    image_size: tuple[int, int] = (128, 128)
    _: KW_ONLY
    lower_percentile: float = 0.5
    upper_percentile: float = 99.5
    normalisation: Normalisation | str = Normalisation.BRAIN_PERCENTILES
    plane: SlicePlane | str = SlicePlane.AXIAL
    modalities: ModalitySet = FOUR_MODALITIES

    def __post_init__(self) -> None:
        object.__setattr__(self, "normalisation", Normalisation(self.normalisation))
        object.__setattr__(self, "plane", SlicePlane(self.plane))
        # JSON gives lists: tuples keep the object hashable and equal however it was made
        object.__setattr__(self, "frame_size_mm", tuple(float(size) for size in self.frame_size_mm))
        object.__setattr__(self, "modalities", ModalitySet(self.modalities))
        object.__setattr__(self, "image_size", tuple(int(size) for size in self.image_size))
        if min(self.frame_size_mm) <= 0 or min(self.image_size) < 32 or any(size % 16 for size in self.image_size):
            raise ValueError(f"frame must be positive and image size a multiple of 16 from 32 on, got {self}")

    def description(self) -> dict[str, Any]:
        """Return the parameters as plain data; the four modalities go unsaid, as in earlier versions."""
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        plain |= {"normalisation": str(self.normalisation), "plane": str(self.plane)}
        del plain["modalities"]
        return plain if self.modalities == FOUR_MODALITIES else plain | {"modalities": self.modalities.description()}

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

    @classmethod
    def of(cls, transforms: Compose) -> Preprocessing:
        """Read the parameters of a chain of transforms, such as the one that a bundle writes in JSON.

        Models store the parameters, and inference repeats the chain from them: it holds these transforms and no others.

        Args:
            transforms: as `Preprocessing.transforms`, with parameters of its own.

        Raises:
            ValueError: when a transform is missing, has another place, or would not be repeated at inference.
        """
        steps = transforms.transforms
        needed = [type(one).__name__ for one in cls().transforms.transforms]
        given = [type(one).__name__ for one in steps]
        cut = [one.keys for one in steps if isinstance(one, CutSlicesd)]
        modalities = ModalitySet(map(str, cut[0])) if cut else FOUR_MODALITIES
        keys = [[str(key) for key in one.keys] for one in (*steps, *cls(modalities=modalities).transforms.transforms)]
        if given != needed or keys[: len(steps)] != keys[len(steps) :]:
            raise ValueError(
                f"preprocessing is {', '.join(given)}; models repeat {', '.join(needed)}, in this order and of all "
                "modalities. Random transforms belong to train::augmentation, others are done before, to the files"
            )
        by_kind = {type(one): one for one in steps}
        frame, normalise = by_kind[PlaceFramed].frame, by_kind[NormaliseBraind].normalise
        return cls(
            frame.size_mm,
            frame.image_size,
            lower_percentile=normalise.lower_percentile,
            upper_percentile=normalise.upper_percentile,
            modalities=modalities,
        )

    @property
    def transforms(self) -> Compose:
        """What turns the files of a case (`case_dictionary`) into its slices; the bundles write the same in JSON.

        Images become `(Z, H, W)` float32 in [-1, 1], background exactly -1, the segmentation canonical labels
        `(Z, H, W)` uint8.
        """
        images, segmentation = self.modalities, SEGMENTATION
        return Compose(
            [
                *loading_transforms(images, segmentation),
                NormaliseBraind(
                    images, self.lower_percentile, upper_percentile=self.upper_percentile, allow_missing_keys=True
                ),
                CanonicalLabelsd(segmentation, allow_missing_keys=True),
                LabelsToTumourRegionsd(segmentation, allow_missing_keys=True),
                PlaceFramed(images, self.frame_size_mm, image_size=self.image_size, allow_missing_keys=True),
                CutSlicesd(images, segmentation, allow_missing_keys=True),
            ]
        )

    def apply(
        self, data: Mapping[Any, Any], first: type | None = None, before: type | None = None
    ) -> dict[Hashable, Any]:
        """Run some of the transforms on the dictionary of a case.

        Args:
            data: as the first of them takes it.
            first: the first of them; the very first when None.
            before: the one that they stop before; none when None.
        """
        transforms = self.transforms
        kinds = [type(one) for one in transforms.transforms]
        start = 0 if first is None else kinds.index(first)
        return run_transforms(transforms, data, start, None if before is None else kinds.index(before))

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
    _: KW_ONLY
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
        x, y, z = (float(size) for size in next(iter(self.images.values())).pixdim)
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
    _: KW_ONLY
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
    data: dict[Any, Any] = {**volumes, LABEL_MEANINGS: case.labels, PROBLEMS: []}
    data = preprocessing.apply(data, first=NormaliseBraind, before=PlaceFramed)
    problems = [*problems, *(Finding.of(case.case_id, error) for error in data[PROBLEMS])]
    if problems:
        raise CohortError(problems)
    loaded = _in_frame(data, preprocessing, case_warnings(case, volumes))
    findings = [replace(finding, case_id=case.case_id) for finding in loaded.findings]
    if loaded.regions is not None:
        texts = segmentation_warnings(loaded.regions[0], loaded.brain)
        kind, file = FindingKind.SEGMENTATION, case.segmentation
        findings.extend(Finding.warning(kind, case.case_id, file, text) for text in texts)
    headers = {modality: header_file_of(volumes[modality]) for modality in loaded.images}
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
    data = {modality: MetaTensor(volume) for modality, volume in volumes.items()}
    return _in_frame(preprocessing.apply(data, first=NormaliseBraind, before=PlaceFramed), preprocessing, ())


def _in_frame(data: Mapping[Any, Any], preprocessing: Preprocessing, findings: Iterable[Finding]) -> LoadedCase:
    """Place the frame around the brain of a normalised case."""
    placed = preprocessing.apply(data, first=PlaceFramed, before=CutSlicesd)
    images = {modality: placed[modality] for modality in preprocessing.modalities if modality in placed}
    windows = {modality: preprocessing.normalise.window_of(image) for modality, image in images.items()}
    findings = list(findings)
    if placed[FRAME_PLACEMENT].cuts(placed[BRAIN]):
        text = f"the brain is larger than the frame of {preprocessing.frame_size_mm} mm: its edge is cut"
        findings.append(Finding.warning(FindingKind.FILE, "", None, text))
    regions = placed.get(SEGMENTATION)
    return LoadedCase(
        images,
        windows,
        regions=regions,
        brain=placed[BRAIN],
        placement=placed[FRAME_PLACEMENT],
        findings=tuple(findings),
    )


def slice_case(loaded: LoadedCase, preprocessing: Preprocessing) -> CaseSlices:
    """Sample a loaded case as axial slices in the frame, from the first to the last that holds brain."""
    data: dict[Any, Any] = {**loaded.images, FRAME: preprocessing.frame, FRAME_PLACEMENT: loaded.placement}
    if loaded.regions is not None:
        data[SEGMENTATION] = loaded.regions
    cut = preprocessing.apply(data, first=CutSlicesd)
    return CaseSlices({m: cut[m] for m in loaded.images}, cut.get(SEGMENTATION), first_slice=cut[FIRST_SLICE])
