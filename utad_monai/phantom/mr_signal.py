"""Signal equations of MRI: what tissues of known relaxation times look like in each modality."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from utad_monai.keys import Modality


class TissueClass(IntEnum):
    """The tissues of the phantom; the value is the row in every array of tissue fractions `(6, N)`."""

    CSF = 0
    GREY = 1
    WHITE = 2
    OEDEMA = 3
    NECROSIS = 4
    ENHANCING = 5


@dataclass(frozen=True)
class Tissue:
    """What the signal of one tissue depends on, at 1.5 T."""

    proton_density: float
    """Relative to water, 0 to 1."""
    t1_ms: float
    """Longitudinal relaxation time in ms."""
    _: KW_ONLY
    t2_ms: float
    """Transverse relaxation time in ms."""
    t1_contrast_ms: float | None = None
    """T1 in ms after gadolinium; None where the blood-brain barrier keeps the contrast agent out."""

    def jittered(self, rng: np.random.Generator, fraction: float) -> Tissue:
        """Another patient's version of this tissue.

        Args:
            rng: Source of the four factors, each uniform in `[1 - fraction, 1 + fraction]`.
            fraction: Largest relative change, 0 to 1.
        """
        density, t1, t2, t1_contrast = rng.uniform(1 - fraction, 1 + fraction, size=4)
        return replace(
            self,
            proton_density=self.proton_density * density,
            t1_ms=self.t1_ms * t1,
            t2_ms=self.t2_ms * t2,
            t1_contrast_ms=None if self.t1_contrast_ms is None else self.t1_contrast_ms * t1_contrast,
        )


@dataclass(frozen=True)
class PulseSequence:
    """A spin-echo sequence, with an inversion pulse when `inversion_ms` is given."""

    repetition_ms: float
    """TR in ms."""
    echo_ms: float
    """TE in ms."""
    _: KW_ONLY
    inversion_ms: float | None = None
    """TI in ms; None for a plain spin echo."""
    after_contrast: bool = False
    """Whether gadolinium was given before."""

    def signal(self, tissue: Tissue) -> float:
        """Relative signal of a pure tissue, -1 to 1; negative when inverted magnetisation has not recovered.

        Spin echo: `PD (1 - exp(-TR/T1)) exp(-TE/T2)`. Inversion recovery:
        `PD (1 - 2 exp(-TI/T1) + exp(-TR/T1)) exp(-TE/T2)`. Source: Haacke et al., Magnetic Resonance Imaging:
        Physical Principles and Sequence Design, 1999.
        """
        t1_ms = tissue.t1_ms
        if self.after_contrast and tissue.t1_contrast_ms is not None:
            t1_ms = tissue.t1_contrast_ms
        recovered = 1 - np.exp(-self.repetition_ms / t1_ms)
        if self.inversion_ms is not None:
            recovered = 1 - 2 * np.exp(-self.inversion_ms / t1_ms) + np.exp(-self.repetition_ms / t1_ms)
        return float(tissue.proton_density * recovered * np.exp(-self.echo_ms / tissue.t2_ms))


TISSUES: dict[TissueClass, Tissue] = {
    TissueClass.CSF: Tissue(proton_density=1.0, t1_ms=4000, t2_ms=1500),
    TissueClass.GREY: Tissue(proton_density=0.82, t1_ms=1100, t2_ms=95),
    TissueClass.WHITE: Tissue(proton_density=0.70, t1_ms=700, t2_ms=75),
    TissueClass.OEDEMA: Tissue(proton_density=0.86, t1_ms=1400, t2_ms=160),
    TissueClass.NECROSIS: Tissue(proton_density=0.95, t1_ms=2500, t2_ms=350),
    TissueClass.ENHANCING: Tissue(proton_density=0.84, t1_ms=1300, t2_ms=120, t1_contrast_ms=420),
}
"""Typical values of each tissue, before a patient's own variation."""

SEQUENCES: dict[Modality, PulseSequence] = {
    Modality.FLAIR: PulseSequence(repetition_ms=9000, echo_ms=110, inversion_ms=2400),
    Modality.T1: PulseSequence(repetition_ms=550, echo_ms=12),
    Modality.T1CE: PulseSequence(repetition_ms=550, echo_ms=12, after_contrast=True),
    Modality.T2: PulseSequence(repetition_ms=4500, echo_ms=95),
}
"""Acquisition of each modality; the inversion time of FLAIR nulls CSF."""
PROTON_DENSITY = PulseSequence(repetition_ms=4500, echo_ms=12)
"""Acquisition of a modality beyond the four: neither T1 nor T2 counts for much."""


def mix_signals(
    sequence: PulseSequence, tissues: dict[TissueClass, Tissue], fractions: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Signal of voxels that hold several tissues: the mean over tissues, weighted by their fractions.

    Args:
        sequence: How the image is acquired.
        tissues: Relaxation times of all six tissues.
        fractions: `(6, N)`, rows in the order of `TissueClass`, each column sums to 1.

    Returns:
        `(N,)`, signed, -1 to 1.
    """
    pure = np.array([sequence.signal(tissues[tissue]) for tissue in TissueClass], dtype=np.float32)
    mixed: npt.NDArray[np.float32] = np.einsum("c,cn->n", pure, fractions)
    return mixed


def add_rician_noise(
    signal: npt.NDArray[np.float32], sigma: float, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Magnitude of a signal with Gaussian noise in both receiver channels.

    Args:
        signal: Any shape, signed.
        sigma: Standard deviation of the noise of each channel, in the unit of the signal.
        rng: Source of the noise.

    Returns:
        Same shape, at least 0. Source: Gudbjartsson and Patz, Magn Reson Med 34:910, 1995.
    """
    real, imaginary = np.float32(sigma) * rng.standard_normal((2, *signal.shape), dtype=np.float32)
    magnitude: npt.NDArray[np.float32] = np.hypot(signal + real, imaginary)
    return magnitude
