"""Slices of one or several images of a case through a generator, in batches."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor

from utad_monai.inferers.backends import slice_engine
from utad_monai.inferers.calibration import Calibration, CohortCalibrator
from utad_monai.keys import FOUR_MODALITIES, InferenceEngine, Modality, ModalitySet
from utad_monai.models import TranslatorModel
from utad_monai.networks import TumourAwareGenerator
from utad_monai.transforms import BACKGROUND, mask_tumour, present_channels


class SliceTranslator:
    """Translate normalised slices of one or several modalities to another; slices without brain are not computed.

    Args:
        generator: teacher or student.
        device: where to compute; the generator is moved there.
        batch_size: slices in one pass.
        engine: what computes; all but torch take the generator as it is at the first call.
        threads: of engines other than torch; those of torch when None.
        calibration: gives the translations the intensities of a cohort; None leaves the model's.
        modalities: those that the generator knows.

    Raises:
        MissingLibraryError: when a library of the engine is missing.
        ValueError: when an engine other than torch is asked to compute a teacher, or the generator knows another
            number of modalities.
    """

    def __init__(
        self,
        generator: TumourAwareGenerator,
        device: torch.device | str = "cpu",
        *,
        batch_size: int = 16,
        engine: InferenceEngine | str = InferenceEngine.TORCH,
        threads: int | None = None,
        calibration: Calibration | None = None,
        modalities: ModalitySet = FOUR_MODALITIES,
    ) -> None:
        if generator.modalities != len(modalities):
            raise ValueError(f"this generator knows {generator.modalities} modalities, not {', '.join(modalities)}")
        self.modalities = modalities
        self.generator = generator
        self.calibration = calibration or Calibration()
        self.device = torch.device(device)
        self.batch_size = batch_size
        self.engine = slice_engine(engine, generator, device, threads)

    @property
    def needs_mask(self) -> bool:
        """Whether translations need tumour masks (a teacher)."""
        return self.generator.needs_mask

    @property
    def several(self) -> bool:
        """Whether a translation starts from any number of images at once."""
        return self.generator.several

    @torch.inference_mode()
    def __call__(
        self, images: Mapping[Modality, Tensor], target: Modality, tumour_mask: Tensor | None = None
    ) -> Tensor:
        """Translate images of one case to `target`; the tumour decoder is not run.

        Args:
            images: `(Z, H, W)` slices in [-1, 1] of each source, background exactly -1: one image for a generator of
                one source, any but the target for one of several.
            target: the modality to make.
            tumour_mask: `(Z, H, W)` 0 or 1; needed by a teacher, not used by a student.

        Returns:
            `(Z, H, W)` in [-1, 1] on the CPU. Brain is what is brain in any image; slices without any are all -1 and
            are not computed.

        Raises:
            ValueError: when a teacher is asked without masks, there is no image or more than the generator takes, or a
                generator of several sources is given an image of the target.
        """
        if self.needs_mask and tumour_mask is None:
            raise ValueError("this generator needs tumour masks (a teacher): use a student, or give masks")
        self._refuse_other_images(images, target)
        translated = torch.full_like(next(iter(images.values())), BACKGROUND, device="cpu")
        for chosen in _occupied(images).split(self.batch_size):
            masks = None if tumour_mask is None else tumour_mask[chosen]
            chosen_images = {source: image[chosen] for source, image in images.items()}
            stacked = source_channels(chosen_images, self.several, self.modalities)
            translated[chosen] = self._translate_batch(stacked, target, masks).to(translated.dtype)
        return self.calibration(translated, target)

    def _refuse_other_images(self, images: Mapping[Modality, Tensor], target: Modality) -> None:
        if not images:
            raise ValueError(f"there is no source image to make {target} from")
        if not self.several and len(images) > 1:
            raise ValueError(f"this generator takes one source image, got {', '.join(images)}")
        if self.several and target in images:
            raise ValueError(f"an image of {target} is among the sources that {target} is made from")

    def _translate_batch(self, image: Tensor, target: Modality, tumour_mask: Tensor | None) -> Tensor:
        second = image
        if self.needs_mask and tumour_mask is not None:
            second = mask_tumour(image, tumour_mask[:, None].to(image))
        modality = torch.full((len(image),), self.modalities.channel(target), device=image.device)
        return self.engine(image, second, modality)[:, 0].clamp(BACKGROUND, 1.0)


def source_channels(
    images: Mapping[Modality, Tensor], several: bool, modalities: ModalitySet = FOUR_MODALITIES
) -> Tensor:
    """Return what a generator takes of images `(B, H, W)` in [-1, 1], float32.

    Args:
        images: the sources.
        several: whether the generator takes several: `(B, M, H, W)` in their order, absent ones -1 throughout;
            otherwise `(B, 1, H, W)`, the only image.
        modalities: those that the generator knows.
    """
    first = next(iter(images.values()))
    if not several:
        return first[:, None].to(torch.float32)
    absent = torch.full_like(first, BACKGROUND)
    return torch.stack([images.get(modality, absent) for modality in modalities], dim=1).to(torch.float32)


def _occupied(images: Mapping[Modality, Tensor]) -> Tensor:
    """Return the places of the slices that show brain in any image."""
    return (
        torch.stack([(image > BACKGROUND).flatten(1).any(dim=1) for image in images.values()])
        .any(dim=0)
        .nonzero()[:, 0]
    )


Translate = Callable[[Mapping[Modality, Tensor], Modality, Tensor | None], Tensor]


def both_ways(
    translate: Translate, images: Mapping[Modality, Tensor], target: Modality, tumour_mask: Tensor | None = None
) -> Tensor:
    """Translate images as they are and mirrored left-right, and mirror the latter back.

    Args:
        translate: called like a `SliceTranslator`.
        images: `(Z, H, W)` of each source.
        target: the modality to make.
        tumour_mask: `(Z, H, W)`, for a teacher.

    Returns:
        `(2, Z, H, W)`, the plain translation first.
    """
    mirrored = {source: image.flip(-1) for source, image in images.items()}
    mask = None if tumour_mask is None else tumour_mask.flip(-1)
    return torch.stack([translate(images, target, tumour_mask), translate(mirrored, target, mask).flip(-1)])


class MirroringTranslator:
    """The mean of a translation and that of the mirror image: twice the time; called like a `SliceTranslator`.

    Args:
        slices: what translates.
    """

    def __init__(self, slices: SliceTranslator) -> None:
        self.slices = slices

    @property
    def several(self) -> bool:
        """Whether a translation starts from any number of images at once."""
        return self.slices.several

    def __call__(
        self, images: Mapping[Modality, Tensor], target: Modality, tumour_mask: Tensor | None = None
    ) -> Tensor:
        """Translate images of one case, `(Z, H, W)` in [-1, 1], to `target`: `(Z, H, W)`, background exactly -1."""
        return both_ways(self.slices, images, target, tumour_mask).mean(dim=0)


class RandTranslateModalityd(MapTransform, RandomizableTransform):
    """Replace one random modality of a sample by its translation from the best other one, or from all others at once.

    Where a sample lacks modalities (`RandDropModalitiesd`) all of these are made, from those that are there. Images are
    `(M, H, W)` in [-1, 1], channels in the order of the student's modalities, and are not changed in place.
    Nothing else of the sample is touched: the tumour lies where the real images have it.

    Args:
        keys: keys of the images.
        translator: a mask-free student.
        device: where to translate.
        prob: share of the samples that are changed.
    """

    def __init__(
        self,
        keys: KeysCollection,
        translator: TranslatorModel,
        *,
        device: torch.device | str = "cpu",
        prob: float = 0.5,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.translator = translator
        self.modalities = translator.modalities
        self.translate = SliceTranslator(translator.generator, device, modalities=self.modalities)
        self.target = self.modalities[0]

    def randomize(self, data: Any = None) -> None:
        """Draw whether to replace a modality, and which."""
        super().randomize(data)
        self.target = self.modalities[self.R.randint(len(self.modalities))]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with its images changed."""
        changed = dict(data)
        self.randomize()
        if not self._do_transform:
            return changed
        for key in self.key_iterator(changed):
            changed[key] = self._with_translations(changed[key])
        return changed

    def _with_translations(self, images: Tensor) -> Tensor:
        present = [self.modalities[channel] for channel in present_channels(images)]
        absent = [modality for modality in self.modalities if modality not in present] if present else []
        made = images.clone()
        for target in absent or [self.target]:
            sources = self.translator.sources(target, present if absent else self.modalities)
            given = {source: images[self.modalities.channel(source)][None] for source in sources}
            made[self.modalities.channel(target)] = self.translate(given, target)[0]
        return made


def starter_method(
    starter: TranslatorModel,
    calibration: Calibration,
    device: torch.device | str = "cpu",
    batch_size: int = 16,
    flips: bool = True,
) -> SliceTranslator | MirroringTranslator:
    """Return what translates slices as `complete` does without a model.

    Args:
        starter: starter weights.
        calibration: gives them the intensities of the cohort.
        device: where to compute.
        batch_size: slices in one pass.
        flips: whether mirror images are translated too: twice the time.
    """
    slices = SliceTranslator(
        starter.generator, device, batch_size=batch_size, calibration=calibration, modalities=starter.modalities
    )
    return MirroringTranslator(slices) if flips else slices


def calibrated_starter(
    starter: TranslatorModel | None,
    calibrator: CohortCalibrator,
    device: torch.device | str = "cpu",
    batch_size: int = 16,
    flips: bool = True,
) -> SliceTranslator | MirroringTranslator | None:
    """Return `starter_method` with the calibration of a cohort; None without starter weights (`installed_starter`)."""
    if starter is None:
        return None
    return starter_method(starter, calibrator.fit(starter.reference_histograms), device, batch_size, flips)
