"""What a completion makes, from what, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from utad_monai.keys import FusionMethod, InferenceEngine, IntensityRange, Modality, VoxelType


@dataclass(frozen=True)
class CompletionSettings:
    """Every choice that decides what a synthetic volume looks like.

    Args:
        targets: modalities to make; those that a case lacks when empty.
        sources: modalities to start from; all that a case has when empty.
        fusion: how translations of several sources become one.
        flips: whether each source is also translated mirrored.
        smooth_mm: standard deviation of the smoothing from slice to slice, in mm; 0 for none.
        uncertainty: whether the disagreement of translations is written.
        intensities: the range that the volumes are given.
        dtype: how they are stored; `unit` intensities are float32 always.
        engine: what computes; engines differ in the last bits, and a volume of another one is made anew.

    Raises:
        ValueError: for an unknown word or a negative smoothing.
    """

    targets: Sequence[Modality | str] = ()
    sources: Sequence[Modality | str] = ()
    fusion: FusionMethod | str = FusionMethod.BEST
    flips: bool = False
    smooth_mm: float = 0.0
    uncertainty: bool = True
    intensities: IntensityRange | str = IntensityRange.TRAINING
    dtype: VoxelType | str = VoxelType.INT16
    engine: InferenceEngine | str = InferenceEngine.TORCH

    def __post_init__(self) -> None:
        # words come from command lines and JSON: members keep the object equal however it was made
        object.__setattr__(self, "targets", tuple(map(Modality, self.targets)))
        object.__setattr__(self, "sources", tuple(map(Modality, self.sources)))
        object.__setattr__(self, "fusion", FusionMethod(self.fusion))
        object.__setattr__(self, "engine", InferenceEngine(self.engine))
        object.__setattr__(self, "intensities", IntensityRange(self.intensities))
        unit = self.intensities is IntensityRange.UNIT
        object.__setattr__(self, "dtype", VoxelType.FLOAT32 if unit else VoxelType(self.dtype))
        if self.smooth_mm < 0:
            raise ValueError(f"smooth_mm must be at least 0, got {self.smooth_mm}")

    def description(self) -> dict[str, Any]:
        """Return the settings of how a volume is made, as plain data; which targets are asked does not change one."""
        plain = asdict(self)
        del plain["targets"], plain["sources"]
        return {key: str(value) if isinstance(value, str) else value for key, value in plain.items()}
