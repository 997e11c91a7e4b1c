"""Several translations to the same target become one image, and their disagreement an uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from utad_monai.keys import FusionMethod, Modality
from utad_monai.models.source_choice import SourceErrors, best_source, source_weights
from utad_monai.transforms import BACKGROUND, BRAIN_FLOOR


@dataclass(frozen=True)
class FusedSlices:
    """One image from several.

    Attributes:
        image: `(Z, H, W)` in [-1, 1], background exactly -1; brain where a source that counts shows brain.
        disagreement: `(Z, H, W)`, standard deviation of all translations that show brain there, at least 0; 0 where
            only one does.
        weights: what each source counted; sum 1.
        translations: number of translations that the disagreement is of; with a single one it is 0 and says nothing.
    """

    image: Tensor
    disagreement: Tensor
    _: KW_ONLY
    weights: Mapping[Modality, float]
    translations: int


def fuse(
    translations: Mapping[Modality, Tensor], method: FusionMethod, target: Modality, errors: SourceErrors
) -> FusedSlices:
    """Fuse translations of several sources to one target.

    Args:
        translations: for each source `(N, Z, H, W)` in [-1, 1], background exactly -1: N translations of one image, the
            plain one first and then, for instance, that of its mirror image. A source counts with their mean.
        method: how.
        target: the modality that was made.
        errors: validation errors, for `best` and `weighted`.

    Raises:
        ValueError: when there is no translation, or weights are asked of a model that stores no errors.
    """
    weights = fusion_weights(method, target, tuple(translations), errors)
    counting = [source for source, weight in weights.items() if weight > 0]
    images = torch.stack([_brain_mean(translations[source]) for source in counting])
    if method is FusionMethod.MEDIAN:
        image = _brain_median(images)
    else:
        image = _brain_mean(images, torch.tensor([weights[source] for source in counting]))
    made = torch.cat(list(translations.values()))
    return FusedSlices(image, _disagreement(made), weights=weights, translations=len(made))


def fuse_at_once(together: Tensor, alone: Mapping[Modality, Tensor], sources: Sequence[Modality]) -> FusedSlices:
    """Return the image that a network made of several sources at once; nothing is fused but mirror images.

    Args:
        together: `(N, Z, H, W)` in [-1, 1]: the translation of all sources at once, and of their mirror images.
        alone: the same of single sources, for the disagreement; empty when none is asked.
        sources: what `together` was made from; each counts the same.
    """
    made = torch.cat([together, *alone.values()])
    weights = {source: 1 / len(sources) for source in sources}
    return FusedSlices(_brain_mean(together), _disagreement(made), weights=weights, translations=len(made))


def fusion_weights(
    method: FusionMethod, target: Modality, sources: tuple[Modality, ...], errors: SourceErrors
) -> dict[Modality, float]:
    """Return what each source counts, sum 1; for the median every source counts the same.

    Raises:
        ValueError: when there is no source, or weights are asked of a model that stores no errors.
    """
    if method is FusionMethod.BEST:
        best = best_source(errors, target, sources)
        return {source: float(source == best) for source in sources}
    if method is FusionMethod.WEIGHTED:
        return source_weights(errors, target, sources)
    return {source: 1 / len(sources) for source in sources}


def _brain_mean(images: Tensor, weights: Tensor | None = None) -> Tensor:
    """Average `(N, Z, H, W)` over those of the N images that show brain in a pixel."""
    if len(images) == 1:
        return images[0]
    brain = (images > BACKGROUND).to(images.dtype)
    if weights is not None:
        brain = brain * weights.to(images)[:, None, None, None]
    total = brain.sum(dim=0)
    mean = (images * brain).sum(dim=0) / total.clamp_min(torch.finfo(images.dtype).tiny)
    return _on_brain(mean, total > 0)


def _brain_median(images: Tensor) -> Tensor:
    """Return the median of `(N, Z, H, W)` over those of the N images that show brain in a pixel."""
    shown = torch.where(images > BACKGROUND, images, torch.nan)
    lower, upper = shown.nanmedian(dim=0).values, -(-shown).nanmedian(dim=0).values
    return _on_brain(((lower + upper) / 2).nan_to_num(BACKGROUND), ~lower.isnan())


def _disagreement(images: Tensor) -> Tensor:
    brain = (images > BACKGROUND).to(images.dtype)
    count = brain.sum(dim=0).clamp_min(1)
    mean = (images * brain).sum(dim=0) / count
    return ((images - mean).square() * brain).sum(dim=0).div(count).sqrt()


def _on_brain(image: Tensor, brain: Tensor) -> Tensor:
    return torch.where(brain, image.clamp(BRAIN_FLOOR, 1.0), torch.full_like(image, BACKGROUND))
