"""A modality that was made in memory: it says what it is, and is written as the command writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor

from utad_monai.apps.complete.provenance import Provenance
from utad_monai.apps.complete.synthetic_files import Grid, SyntheticFiles
from utad_monai.inferers import SyntheticVolume
from utad_monai.keys import SYNTHETIC_MARK, Modality, VoxelType

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, repr=False)
class CompletedImage:
    """A modality that a case lacked.

    Attributes:
        image: an array where arrays were given, else a MetaTensor; shape and affine of the sources, background 0.
        uncertainty: standard deviation between translations in the image's intensities; None where only one was made.
        made: the volume in LPS order, with what it was made from.
        provenance: where it comes from.
        grid: what gives header, affine and voxel order to a file: the first source, or its header.
        said: more entries for the sidecar.
    """

    image: Array | MetaTensor
    uncertainty: Array | MetaTensor | None
    _: KW_ONLY
    made: SyntheticVolume
    provenance: Provenance
    grid: Grid
    said: Mapping[str, Any]

    def __repr__(self) -> str:
        sources = ", ".join(f"{source} {weight:.2f}" for source, weight in self.weights.items() if weight > 0)
        spread = ", with uncertainty" if self.uncertainty is not None else ""
        return f"<CompletedImage: {SYNTHETIC_MARK} {self.target} {tuple(self.image.shape)} from {sources}{spread}>"

    @property
    def target(self) -> Modality:
        """The modality that it stands for."""
        return self.made.target

    @property
    def weights(self) -> Mapping[Modality, float]:
        """What each source counted; sum 1."""
        return self.made.weights

    def save(self, path: str | Path, dtype: VoxelType | str | None = None) -> Path:
        """Write the image on the grid of its sources, marked SYNTHETIC as `utad-monai complete` marks it.

        Beside the image lie its sidecar (`t2.nii.gz`: `t2.json`) and, where there is one, its uncertainty
        (`t2_uncertainty.nii.gz`). Synthetic files of these names are replaced; nothing else is.

        Args:
            path: the file, ending in `.nii.gz`. Name it `<case>_<modality>_synthetic.nii.gz`, as the command does, so
                that nobody takes it for a measured image.
            dtype: `int16` or `float32`; by default int16, of intensities in [0, 1] float32.

        Returns:
            The path.

        Raises:
            OutputError: when the name does not end in `.nii.gz`, another file has it, or it cannot be written.
            ValueError: when `dtype` is unknown.
        """
        stored = VoxelType(dtype or self.provenance.settings["dtype"])
        settings = {**self.provenance.settings, "dtype": str(stored)}
        files = SyntheticFiles.at(path, replace(self.provenance, settings=settings))
        files.write(self.made, self.grid, stored, self.said)
        return files.image
