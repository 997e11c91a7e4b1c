"""What a completion makes, from what, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from utad_monai.keys import FusionMethod, InferenceEngine, IntensityRange, Modality, VoxelType
from utad_monai.models import TranslatorModel
from utad_monai.models.starter import is_starter


@dataclass(frozen=True)
class CompletionSettings:
    """Every choice that decides what a synthetic volume looks like.

    Args:
        targets: modalities to make; those that a case lacks when empty.
        sources: modalities to start from; all that a case has when empty.
        fusion: how translations of several sources become one.
        flips: whether each source is also translated mirrored; None for starter weights alone, which it makes better
            for twice the time.
        smooth_mm: standard deviation of the smoothing from slice to slice, in mm; 0 for none.
        uncertainty: whether the disagreement of translations is written; None for models of one source alone, whose
            sources are translated anyway.
        intensities: the range that the volumes are given; None for that of the model's training cohort, or of the
            completed cohort where the model was taught by a phantom.
        dtype: how they are stored; `unit` intensities are float32 always.
        engine: what computes; engines differ in the last bits, and a volume of another one is made anew.
        calibrate: whether a model that was taught by a phantom is calibrated on the completed cohort.

    Raises:
        ValueError: for an unknown word or a negative smoothing.
    """

    targets: Sequence[Modality | str] = ()
    sources: Sequence[Modality | str] = ()
    fusion: FusionMethod | str = FusionMethod.BEST
    flips: bool | None = None
    smooth_mm: float = 0.0
    uncertainty: bool | None = None
    intensities: IntensityRange | str | None = None
    dtype: VoxelType | str = VoxelType.INT16
    engine: InferenceEngine | str = InferenceEngine.TORCH
    calibrate: bool = True

    def __post_init__(self) -> None:
        # words come from command lines and JSON: members keep the object equal however it was made
        object.__setattr__(self, "targets", tuple(map(Modality, self.targets)))
        object.__setattr__(self, "sources", tuple(map(Modality, self.sources)))
        object.__setattr__(self, "fusion", FusionMethod(self.fusion))
        object.__setattr__(self, "engine", InferenceEngine(self.engine))
        chosen = IntensityRange(self.intensities) if self.intensities else None
        object.__setattr__(self, "intensities", chosen)
        unit = self.intensities is IntensityRange.UNIT
        object.__setattr__(self, "dtype", VoxelType.FLOAT32 if unit else VoxelType(self.dtype))
        if self.smooth_mm < 0:
            raise ValueError(f"smooth_mm must be at least 0, got {self.smooth_mm}")

    def of_model(self, translator: TranslatorModel, engine: InferenceEngine | str | None = None) -> CompletionSettings:
        """Return the settings with everything chosen that a model decides.

        Args:
            translator: the model.
            engine: the engine that `auto` chose; the asked one when None.
        """
        several, taught = translator.generator.several, bool(translator.reference_histograms)
        return replace(
            self,
            flips=is_starter(translator) if self.flips is None else self.flips,
            fusion=FusionMethod.BEST if several else self.fusion,  # there is nothing to fuse
            uncertainty=not several if self.uncertainty is None else self.uncertainty,
            intensities=self.intensities or (IntensityRange.COHORT if taught else IntensityRange.TRAINING),
            engine=engine or self.engine,
            calibrate=self.calibrate and taught,
        )

    def description(self) -> dict[str, Any]:
        """Return the settings of how a volume is made, as plain data; which targets are asked does not change one."""
        plain = asdict(self)
        del plain["targets"], plain["sources"], plain["calibrate"]
        return {key: str(value) if isinstance(value, str) else value for key, value in plain.items()}
