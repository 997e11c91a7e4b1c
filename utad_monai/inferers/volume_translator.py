"""Smoothing from slice to slice, for volumes that were translated slice by slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from statistics import fmean
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from utad_monai.data.layouts import Case
from utad_monai.data.preprocessing import LoadedCase, load_case
from utad_monai.inferers.calibration import Calibration
from utad_monai.inferers.slice_translator import SliceTranslator, both_ways
from utad_monai.inferers.source_fusion import FusedSlices, fuse, fuse_at_once
from utad_monai.inferers.translation_options import TranslationOptions
from utad_monai.keys import FusionMethod, Modality
from utad_monai.metrics.unpaired import through_plane_variation
from utad_monai.models import CheckpointError, TranslatorModel
from utad_monai.models.source_choice import usable_sources
from utad_monai.transforms import BACKGROUND, BRAIN_FLOOR, IntensityWindow


def smooth_through_plane(slices: Tensor, sigma_mm: float, slice_mm: float) -> Tensor:
    """Smooth along the slices with a Gaussian that averages brain only; nothing changes within a slice.

    Args:
        slices: `(Z, H, W)` in [-1, 1], background exactly -1.
        sigma_mm: standard deviation of the Gaussian in mm; 0 changes nothing.
        slice_mm: distance of neighbouring slices in mm.

    Returns:
        `(Z, H, W)` in [-1, 1]; brain and background stay what they were.

    Raises:
        ValueError: when `sigma_mm` is negative or `slice_mm` not positive.
    """
    if sigma_mm < 0 or slice_mm <= 0:
        raise ValueError(f"sigma_mm must be at least 0 and slice_mm positive, got {sigma_mm} and {slice_mm}")
    if sigma_mm == 0:
        return slices
    brain = slices > BACKGROUND
    inside = brain.to(torch.float32).numpy()
    sigma = sigma_mm / slice_mm
    shares = gaussian_filter1d(inside, sigma, axis=0, mode="constant")
    sums = gaussian_filter1d(slices.to(torch.float32).numpy() * inside, sigma, axis=0, mode="constant")
    mean = torch.from_numpy(sums) / torch.from_numpy(shares).clamp_min(torch.finfo(torch.float32).tiny)
    return torch.where(brain, mean.clamp(BRAIN_FLOOR, 1.0), slices)


Volume = np.ndarray[Any, np.dtype[np.float32]]
_UNIT = IntensityWindow(0.0, 1.0)


@dataclass(frozen=True)
class ThroughPlane:
    """How much neighbouring slices differ: mean absolute difference of normalised brain intensities, in [0, 2].

    Attributes:
        sources: of the images that it was made from, the mean: what a scanner gives.
        translated: of the translation; more than that of the sources is striped.
        written: of the volume that was written, after smoothing.
    """

    sources: float
    translated: float
    _: KW_ONLY
    written: float


@dataclass(frozen=True)
class SyntheticVolume:
    """A modality that was made.

    Attributes:
        target: the modality.
        volume: `(X, Y, Z)` in LPS order, in the intensities of the window, exactly 0 outside the brain.
        uncertainty: `(X, Y, Z)`, standard deviation between translations in the same intensities; None where only one
            translation was made.
        weights: what each source counted, sum 1; of a model of several sources each the same.
        through_plane: how much neighbouring slices differ.
    """

    target: Modality
    volume: Volume
    _: KW_ONLY
    uncertainty: Volume | None
    weights: Mapping[Modality, float]
    through_plane: ThroughPlane

    @property
    def sources(self) -> tuple[Modality, ...]:
        """The modalities that it was made from."""
        return tuple(source for source, weight in self.weights.items() if weight > 0)


class VolumeTranslator:
    """Make a missing modality of a case from one or several of its others, on their grid.

    A model of several sources uses all that there are at once; one of a single source translates each, and fuses.

    Args:
        translator: a mask-free student with its preprocessing and target windows.
        device: where to compute.
        batch_size: slices in one pass.
        options: how volumes are made; no mirror images and no uncertainty when None.
        threads: of engines other than torch; those of torch when None.
        calibration: gives the volumes the intensities of a cohort before they get its window.
        fields: of `TranslationOptions`, in the place of `options`.

    Attributes:
        options: with everything chosen that was left to the model.

    Raises:
        CheckpointError: when the model is a teacher, which needs masks.
        MissingLibraryError: when a library of the engine is missing.
        TypeError: for a field that there is not.
    """

    def __init__(
        self,
        translator: TranslatorModel,
        device: torch.device | str = "cpu",
        *,
        batch_size: int = 16,
        options: TranslationOptions | None = None,
        threads: int | None = None,
        calibration: Calibration | None = None,
        **fields: Any,
    ) -> None:
        self.translator = translator
        if translator.generator.needs_mask:
            raise CheckpointError("the model", "is a teacher and needs tumour masks", "give a student model")
        options = options or TranslationOptions(**{"flips": False, "uncertainty": False} | fields)
        self.options = options.of_model(translator, device)
        engine = self.options.engine
        self.slices = SliceTranslator(
            translator.generator,
            device,
            batch_size=batch_size,
            engine=engine,
            threads=threads,
            calibration=calibration,
            modalities=translator.modalities,
        )

    def load(self, case: Case) -> LoadedCase:
        """Load a case as the model needs it.

        Raises:
            CohortError: with every problem of the case.
        """
        return load_case(case, self.translator.preprocessing)

    def window(self, target: Modality) -> IntensityWindow:
        """Return the intensities of a modality in the cohort that the model was trained on; [0, 1] of a phantom's.

        Raises:
            CheckpointError: when the model never saw the modality.
        """
        if target in self.translator.target_windows:
            return self.translator.target_windows[target]
        if target in self.translator.reference_histograms:
            return _UNIT
        raise CheckpointError("the model", f"was trained without {target} images", "train it on a cohort with them")

    @property
    def calibration(self) -> Calibration:
        """The maps that give volumes the intensities of a cohort; without any by default."""
        return self.slices.calibration

    def translate(
        self,
        loaded: LoadedCase,
        target: Modality,
        sources: Sequence[Modality] = (),
        window: IntensityWindow | None = None,
    ) -> SyntheticVolume:
        """Make the target modality of a case.

        Args:
            loaded: the case.
            target: what to make; an image of it that the case has is not looked at.
            sources: the modalities to start from; all available ones when empty.
            window: the intensities to give it; those of the model's training cohort when None.

        Raises:
            CheckpointError: when the model never saw the target modality.
            ValueError: when nothing but the target is available, or weights are asked of a model that stores none.
        """
        trained_window = self.window(target)
        chosen = self._sources(loaded, target, sources)
        framed = {source: self._framed(loaded, source) for source in chosen}
        fused = self._at_once(framed, target) if self.slices.several else self._one_by_one(framed, target)
        smooth = smooth_through_plane(fused.image, self.options.smooth_mm, loaded.spacing_mm[2])
        brain = self._brain(loaded, fused)
        return SyntheticVolume(
            target,
            self._volume(loaded, smooth, brain, window or trained_window),
            uncertainty=self._spread(loaded, fused, brain, window or trained_window) if self._disagree(fused) else None,
            weights=fused.weights,
            through_plane=ThroughPlane(
                fmean(through_plane_variation(image) for image in framed.values()),
                through_plane_variation(fused.image),
                written=through_plane_variation(smooth),
            ),
        )

    def _sources(self, loaded: LoadedCase, target: Modality, sources: Sequence[Modality]) -> tuple[Modality, ...]:
        """Return the sources to translate: only the best one when nothing else would be used."""
        available = usable_sources(target, [m for m in loaded.images if not sources or m in sources])
        if self.slices.several:
            return available
        if self.options.fusion is FusionMethod.BEST and not self.options.uncertainty:
            return (self.translator.best_source(target, available),)
        return available

    def _framed(self, loaded: LoadedCase, source: Modality) -> Tensor:
        image = loaded.images[source].as_tensor()[0]
        return self.translator.preprocessing.frame.image_to_slices(image, loaded.placement)

    def _one_by_one(self, framed: Mapping[Modality, Tensor], target: Modality) -> FusedSlices:
        """Translate each source and fuse the translations."""
        made = {source: self._translations({source: image}, target) for source, image in framed.items()}
        return fuse(made, FusionMethod(self.options.fusion), target, self.translator.source_errors)

    def _at_once(self, framed: Mapping[Modality, Tensor], target: Modality) -> FusedSlices:
        """Translate all sources together, and each alone when the uncertainty is asked."""
        alone: dict[Modality, Tensor] = {}
        if self.options.uncertainty and len(framed) > 1:
            alone = {source: self._translations({source: image}, target) for source, image in framed.items()}
        return fuse_at_once(self._translations(framed, target), alone, tuple(framed))

    def _translations(self, images: Mapping[Modality, Tensor], target: Modality) -> Tensor:
        """Translate `(Z, H, W)` images, and mirrored ones when asked: `(N, Z, H, W)`."""
        return both_ways(self.slices, images, target) if self.options.flips else self.slices(images, target)[None]

    def _disagree(self, fused: FusedSlices) -> bool:
        """Tell whether a disagreement is asked, and there is one."""
        return fused.translations > 1 and self.options.uncertainty

    def _brain(self, loaded: LoadedCase, fused: FusedSlices) -> Tensor:
        """Return `(X, Y, Z)`: where a source that counts shows brain."""
        counting = [loaded.images[source] for source, weight in fused.weights.items() if weight > 0]
        return torch.stack([image.as_tensor()[0] > BACKGROUND for image in counting]).any(dim=0)

    def _volume(self, loaded: LoadedCase, slices: Tensor, brain: Tensor, window: IntensityWindow) -> Volume:
        volume = self.translator.preprocessing.frame.slices_to_image(slices, loaded.placement, brain)
        return np.asarray(window.denormalise(volume).clamp_min(0).numpy(), dtype=np.float32)

    def _spread(self, loaded: LoadedCase, fused: FusedSlices, brain: Tensor, window: IntensityWindow) -> Volume:
        """Bring the disagreement, in [0, 1], onto the grid as if it were an image whose darkest brain is 0."""
        span = 1.0 - BRAIN_FLOOR
        encoded = torch.where(fused.image > BACKGROUND, BRAIN_FLOOR + fused.disagreement * span, BACKGROUND)
        volume = self.translator.preprocessing.frame.slices_to_image(encoded, loaded.placement, brain)
        normalised = torch.where(brain, (volume - BRAIN_FLOOR) / span, 0.0)
        return np.asarray((normalised * (window.upper - window.lower) / 2).numpy(), dtype=np.float32)
