"""What a completion makes, from what, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from utad_monai.inferers import TranslationOptions
from utad_monai.keys import IntensityRange, Modality, VoxelType
from utad_monai.models import CheckpointError, TranslatorModel


@dataclass(frozen=True, kw_only=True)
class CompletionSettings:
    """Every choice that decides what a synthetic volume looks like.

    Args:
        targets: modalities to make; those that a case lacks when empty.
        sources: modalities to start from; all that a case has when empty.
        options: how translations become a volume, and whether their disagreement is written; a volume of another
            engine is made anew.
        intensities: the range that the volumes are given; None for that of the model's training cohort, or of the
            completed cohort where the model was taught by a phantom.
        dtype: how they are stored; `unit` intensities are float32 always.
        calibrate: whether a model that was taught by a phantom is calibrated on the completed cohort.

    Raises:
        ValueError: for an unknown word.
    """

    targets: Sequence[Modality | str] = ()
    sources: Sequence[Modality | str] = ()
    options: TranslationOptions = field(default_factory=TranslationOptions)
    intensities: IntensityRange | str | None = None
    dtype: VoxelType | str = VoxelType.INT16
    calibrate: bool = True

    def __post_init__(self) -> None:
        # words come from command lines and JSON: members keep the object equal however it was made
        object.__setattr__(self, "targets", tuple(map(Modality.named, self.targets)))
        object.__setattr__(self, "sources", tuple(map(Modality.named, self.sources)))
        chosen = IntensityRange(self.intensities) if self.intensities else None
        object.__setattr__(self, "intensities", chosen)
        unit = self.intensities is IntensityRange.UNIT
        object.__setattr__(self, "dtype", VoxelType.FLOAT32 if unit else VoxelType(self.dtype))

    def of_model(self, translator: TranslatorModel, device: torch.device | str = "cpu") -> CompletionSettings:
        """Return the settings with everything chosen that is left to a model and its device.

        Raises:
            CheckpointError: when a modality is asked that the model does not know.
            MissingLibraryError: when a library of the engine is missing.
        """
        unknown = [name for name in (*self.targets, *self.sources) if name not in translator.modalities]
        if unknown:
            reason = f"knows {', '.join(translator.modalities)}, not {', '.join(unknown)}"
            raise CheckpointError("the model", reason, "ask for modalities that it knows")
        taught = bool(translator.reference_histograms)
        return replace(
            self,
            options=self.options.of_model(translator, device),
            intensities=self.intensities or (IntensityRange.COHORT if taught else IntensityRange.TRAINING),
            calibrate=self.calibrate and taught,
        )

    def description(self) -> dict[str, Any]:
        """Return the settings of how a volume is made, as plain data; which targets are asked does not change one."""
        made = {"intensities": self.intensities, "dtype": self.dtype}
        plain = asdict(self.options)
        engine = plain.pop("engine")
        every = plain | made | {"engine": engine}
        return {key: str(value) if isinstance(value, str) else value for key, value in every.items()}
