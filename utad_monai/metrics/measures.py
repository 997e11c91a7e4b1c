"""Everything that is measured, one entry per measure: its name, which way is better, where and how.

A new measure is a function of its own file in `utad_monai.metrics` and one entry here. The long table has it then; the
files with a column per measure name theirs themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from torch import Tensor

from utad_monai.keys import EvaluationProtocol, TumourRegion
from utad_monai.metrics.image_quality import identity_copy_score, image_quality, multi_scale_ssim
from utad_monai.metrics.protocols import WholeVolume, masked_ssim, selfrdb_ssim, utad128_ssim
from utad_monai.metrics.segmentation import lesion_volume_change, region_dice, region_hausdorff
from utad_monai.metrics.sharpness import sharpness
from utad_monai.metrics.tissue_contrast import tissue_contrast
from utad_monai.metrics.unpaired import frechet_distance, kernel_distance, slice_consistency
from utad_monai.transforms import BACKGROUND

BRAIN = "brain"
"""The brain of the real target; for `identity_copy` that of the source."""
TISSUE = "tissue"
"""The brain without tumour and without its border."""
FRAME = "frame"
"""Whole slices that show brain, with background."""
HEALTHY = "healthy"
"""Whole volumes with background, the tumour set to 0."""

Subject = TypeVar("Subject")
Values = Mapping[str, float] | Mapping[TumourRegion, float]
"""Numbers by region."""
Cell = tuple[str, str, float]
"""Region, measure and value."""
SourcedImage = tuple[Tensor, Tensor, Tensor]
"""The source, what was made of it and the true target: `(Z, H, W)` in [-1, 1], background exactly -1."""
ImageSets = tuple[Tensor, Tensor]
"""Features of translated images, `(N, C)`, and of real ones, `(M, C)`."""


@dataclass(frozen=True)
class TranslatedVolume:
    """A translated volume and what it is compared with: `(Z, H, W)` in [-1, 1], background exactly -1.

    Attributes:
        made: the translated volume.
        real: the true target.
        truth: `(3, Z, H, W)` regions in {0, 1}, order of `TumourRegion`.
    """

    made: Tensor
    real: Tensor
    _: KW_ONLY
    truth: Tensor

    @cached_property
    def regions(self) -> Mapping[str, Tensor]:
        """Masks `(Z, H, W)` of the brain and of every tumour region."""
        tumour = dict(zip(map(str, TumourRegion), self.truth > 0, strict=True))
        return {BRAIN: self.real > BACKGROUND} | tumour

    @cached_property
    def quality(self) -> dict[str, float]:
        """Image quality of brain, whole and enhancing tumour by the names of `image_quality`."""
        return image_quality(self.real, self.made, self.regions[TumourRegion.WT], self.regions[TumourRegion.ET])

    @cached_property
    def tissues(self) -> dict[str, float]:
        """Order and contrast of the tissues by the names of `tissue_contrast`."""
        return tissue_contrast(self.real, self.made, self.regions[TumourRegion.WT])


@dataclass(frozen=True)
class Segmentation:
    """A segmented case: `(3, Z, H, W)` regions in {0, 1}, order of `TumourRegion`.

    Attributes:
        predicted: what a network found.
        truth: the reference.
        spacing_mm: distance of voxels along Z, H and W.
    """

    predicted: Tensor
    truth: Tensor
    _: KW_ONLY
    spacing_mm: Sequence[float]


@dataclass(frozen=True)
class Measure(Generic[Subject]):
    """An entry of the registry.

    Attributes:
        name: how the long table calls it.
        higher_is_better: None where neither is, such as a ratio that should be 1.
        function: gives the value in each region that it is measured in; NaN where it is not defined.
        needs_neighbours: whether it compares neighbouring slices: slices chosen from a volume are not measured.
    """

    name: str
    higher_is_better: bool | None
    _: KW_ONLY
    function: Callable[[Subject], Values]
    needs_neighbours: bool = False


_PREFIX = {BRAIN: "", TISSUE: "", FRAME: "", HEALTHY: "healthy_", "WT": "tumour_", "TC": "core_", "ET": "enhancing_"}
"""What stands before the name of an image measure, by region."""


def _quality(name: str) -> Callable[[TranslatedVolume], Values]:
    return lambda translation: {
        region: translation.quality[_PREFIX[region] + name] for region in (BRAIN, TumourRegion.WT, TumourRegion.ET)
    }


IMAGE_MEASURES: tuple[Measure[TranslatedVolume], ...] = (
    Measure("ssim", True, function=_quality("ssim")),
    Measure("psnr", True, function=_quality("psnr")),
    Measure("nmse", False, function=_quality("nmse")),
    Measure("mae", False, function=_quality("mae")),
    Measure("ms_ssim", True, function=lambda t: {FRAME: multi_scale_ssim(t.real, t.made)}),
    Measure(
        "slice_consistency", None, function=lambda t: {BRAIN: slice_consistency(t.real, t.made)}, needs_neighbours=True
    ),
    Measure("tissue_order", True, function=lambda t: {TISSUE: t.tissues["tissue_order"]}),
    Measure("tissue_contrast", None, function=lambda t: {TISSUE: t.tissues["tissue_contrast"]}),
    Measure(
        "sharpness",
        None,
        function=lambda t: {name: sharpness(t.real, t.made, mask) for name, mask in t.regions.items()},
    ),
)
"""Of a translation, whatever it was made from."""
SOURCE_MEASURES: tuple[Measure[SourcedImage], ...] = (
    Measure("identity_copy", False, function=lambda images: {BRAIN: identity_copy_score(*images)}),
)
"""Of a translation beside its one source."""
SEGMENTATION_MEASURES: tuple[Measure[Segmentation], ...] = (
    Measure("dice", True, function=lambda s: region_dice(s.predicted, s.truth)),
    Measure("hd95", False, function=lambda s: region_hausdorff(s.predicted, s.truth, s.spacing_mm)),
    Measure("volume_change", None, function=lambda s: lesion_volume_change(s.predicted, s.truth)),
)
"""Of the segmentation of four modalities, some of them translated."""
ALONE_MEASURES: tuple[Measure[Segmentation], ...] = (
    Measure("s_score", True, function=lambda s: region_dice(s.predicted, s.truth)),
)
"""Of the segmentation of a translation alone."""
SET_MEASURES: tuple[Measure[ImageSets], ...] = (
    Measure("slices", None, function=lambda sets: {FRAME: len(sets[0])}),
    Measure("fid", False, function=lambda sets: {FRAME: frechet_distance(*sets)}),
    Measure("kid", False, function=lambda sets: {FRAME: kernel_distance(*sets)}),
)
"""Of all translations of a method to a target, as a set."""
VOLUME_MEASURES: Mapping[EvaluationProtocol, tuple[Measure[WholeVolume], ...]] = {
    EvaluationProtocol.OURS: (),
    EvaluationProtocol.UTAD128: (Measure("utad128_ssim", True, function=lambda v: {FRAME: utad128_ssim(v)}),),
    EvaluationProtocol.BRASYN: (
        Measure(
            "brasyn_ssim",
            True,
            function=lambda v: {
                str(TumourRegion.WT): v.in_tumour[0],
                HEALTHY: masked_ssim(v.real, v.made, ~v.tumour)[0],
            },
        ),
        Measure("brasyn_ssim_inside", True, function=lambda v: {TumourRegion.WT: v.in_tumour[1]}),
    ),
    EvaluationProtocol.SELFRDB: (Measure("selfrdb_ssim", True, function=lambda v: {FRAME: selfrdb_ssim(v)}),),
}
"""Of a translation as a volume on the patient's grid, by the protocols of others; ours are `IMAGE_MEASURES`."""

_SEGMENTED = {measure.name for measure in (*SEGMENTATION_MEASURES, *ALONE_MEASURES)}
_EVERY: tuple[tuple[Measure[Any], ...], ...] = (
    *(IMAGE_MEASURES, SOURCE_MEASURES, SEGMENTATION_MEASURES, ALONE_MEASURES, SET_MEASURES),
    *VOLUME_MEASURES.values(),
)
HIGHER_IS_BETTER: Mapping[str, bool | None] = {
    measure.name: measure.higher_is_better for measures in _EVERY for measure in measures
}
"""Which way is better, by measure."""


def measured(measures: Iterable[Measure[Subject]], subject: Subject) -> list[Cell]:
    """Return region, measure and value of everything that some measures say of a subject."""
    return [
        (str(region), measure.name, value)
        for measure in measures
        for region, value in measure.function(subject).items()
    ]


def column(measure: str, region: str) -> str:
    """Return how files with a column per measure call one in a region: `ssim`, `tumour_ssim`, `dice_WT`.

    Raises:
        KeyError: when there is no such region.
    """
    return f"{measure}_{region}" if measure in _SEGMENTED else _PREFIX[region] + measure
