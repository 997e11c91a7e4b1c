"""The tissues of the teaching phantom and how they differ between patients."""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum

import numpy as np

from utad_monai.data.mr_signal import TISSUES, Tissue, TissueClass


class TeachingTissue(IntEnum):
    """A tissue; the value is its channel in every array of tissue fractions `(8, H, W)`."""

    CSF = 0
    GREY = 1
    """Cortex."""
    DEEP_GREY = 2
    """Basal ganglia and thalamus: more iron, shorter T1 and T2 than the cortex."""
    WHITE = 3
    OEDEMA = 4
    """Also the bright spots of ageing white matter."""
    NECROSIS = 5
    """Also cysts and cavities: fluid of any kind."""
    ENHANCING = 6
    NON_ENHANCING = 7
    """Solid tumour that takes up no contrast agent."""


TUMOUR_TISSUES = tuple(TeachingTissue)[TeachingTissue.OEDEMA :]
"""The tissues of a tumour; they come last."""

TEACHING_TISSUES: dict[TeachingTissue, Tissue] = {
    TeachingTissue.CSF: TISSUES[TissueClass.CSF],
    TeachingTissue.GREY: TISSUES[TissueClass.GREY],
    TeachingTissue.DEEP_GREY: Tissue(proton_density=0.80, t1_ms=1000, t2_ms=85),
    TeachingTissue.WHITE: TISSUES[TissueClass.WHITE],
    TeachingTissue.OEDEMA: TISSUES[TissueClass.OEDEMA],
    TeachingTissue.NECROSIS: TISSUES[TissueClass.NECROSIS],
    TeachingTissue.ENHANCING: TISSUES[TissueClass.ENHANCING],
    TeachingTissue.NON_ENHANCING: Tissue(proton_density=0.86, t1_ms=1500, t2_ms=150),
}
"""Typical values at 1.5 T, before a patient's own variation."""

_FAINT_ENHANCEMENT = {TeachingTissue.OEDEMA: 0.97, TeachingTissue.NECROSIS: 0.9, TeachingTissue.NON_ENHANCING: 0.85}
"""Least T1 after contrast agent, relative to before, of tissue that takes up next to nothing."""

Tissues = dict[TeachingTissue, Tissue]


def draw_tissues(rng: np.random.Generator, healthy: float, tumour: float) -> Tissues:
    """Draw one patient's relaxation times and proton densities.

    Args:
        rng: source of the draws.
        healthy: standard deviation of the logarithm of T1 and T2 of healthy tissue; densities vary half as much.
        tumour: the same of tumour tissue, whose densities vary by 0.05.
    """
    drawn: Tissues = {}
    for name, typical in TEACHING_TISSUES.items():
        spread, density_spread = (tumour, 0.05) if name in TUMOUR_TISSUES else (healthy, healthy / 2)
        density, t1, t2, contrast = np.exp(rng.normal(size=4) * [density_spread, spread, spread, spread])
        drawn[name] = replace(
            typical,
            proton_density=float(np.clip(typical.proton_density * density, 0.5, 1.05)),
            t1_ms=typical.t1_ms * t1,
            t2_ms=typical.t2_ms * t2,
            t1_contrast_ms=None if typical.t1_contrast_ms is None else typical.t1_contrast_ms * contrast,
        )
    # fluid may be anything between protein-rich necrosis and a cavity filled with CSF
    t1, t2 = np.exp(rng.normal(size=2) * [0.15, 0.3])
    fluid = drawn[TeachingTissue.NECROSIS]
    drawn[TeachingTissue.NECROSIS] = replace(fluid, t1_ms=fluid.t1_ms * t1, t2_ms=fluid.t2_ms * t2)
    for name, least in _FAINT_ENHANCEMENT.items():
        drawn[name] = replace(drawn[name], t1_contrast_ms=drawn[name].t1_ms * rng.uniform(least, 1.0))
    return drawn
