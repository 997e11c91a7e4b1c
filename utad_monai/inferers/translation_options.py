"""Every choice of how translations become a volume: one object through command, Python, bundle and completion."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from utad_monai.inferers.backends import usable_engine
from utad_monai.keys import FusionMethod, InferenceEngine
from utad_monai.models import TranslatorModel
from utad_monai.models.starter import is_starter


@dataclass(frozen=True, kw_only=True)
class TranslationOptions:
    """How a modality is made from those that there are.

    Args:
        fusion: how translations of several sources become one; a model of several sources takes all at once.
        flips: whether each source is also translated mirrored left-right, and mirrored back; it counts with the mean.
            None: for starter weights alone, which it makes better for twice the time.
        smooth_mm: standard deviation of a Gaussian from slice to slice, in mm; 0 for none.
        uncertainty: whether translations that do not count are made too, for the disagreement: of all sources, or of a
            model of several sources from each one alone. Off by default: disagreement hardly says where the error is.
        engine: what computes; engines differ in the last bits.

    Raises:
        ValueError: for an unknown word or a negative smoothing.
    """

    fusion: FusionMethod | str = FusionMethod.BEST
    flips: bool | None = None
    smooth_mm: float = 0.0
    uncertainty: bool = False
    engine: InferenceEngine | str = InferenceEngine.TORCH

    def __post_init__(self) -> None:
        # words come from command lines and JSON: members keep the object equal however it was made
        object.__setattr__(self, "fusion", FusionMethod(self.fusion))
        object.__setattr__(self, "engine", InferenceEngine(self.engine))
        if self.smooth_mm < 0:
            raise ValueError(f"smooth_mm must be at least 0, got {self.smooth_mm}")

    def of_model(self, model: TranslatorModel, device: torch.device | str = "cpu") -> TranslationOptions:
        """Return the options with everything chosen that is left to the model and its device.

        Raises:
            MissingLibraryError: when a library of the engine is missing.
        """
        several = model.generator.several
        return replace(
            self,
            fusion=FusionMethod.BEST if several else self.fusion,  # there is nothing to fuse
            flips=is_starter(model) if self.flips is None else self.flips,
            engine=usable_engine(self.engine, model.generator.base_channels, device),
        )
