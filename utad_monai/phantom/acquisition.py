"""The tissues of the teaching phantom and how they differ between patients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from utad_monai.keys import Modality
from utad_monai.phantom.mr_signal import SEQUENCES, TISSUES, PulseSequence, Tissue, TissueClass


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
    TeachingTissue.OEDEMA: Tissue(proton_density=0.86, t1_ms=1250, t2_ms=145),
    TeachingTissue.NECROSIS: Tissue(proton_density=0.95, t1_ms=1800, t2_ms=230),
    TeachingTissue.ENHANCING: Tissue(proton_density=0.84, t1_ms=1200, t2_ms=145, t1_contrast_ms=420),
    TeachingTissue.NON_ENHANCING: Tissue(proton_density=0.86, t1_ms=1500, t2_ms=150),
}
"""Typical values at 1.5 T, before a patient's own variation.

Those of tumours were chosen so that the mean contrast of each to healthy brain, in each modality, is that of 16
patients (docs/method.md): with values of the literature necrosis was dark on FLAIR, where patients' is bright.
"""

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


Sequences = Mapping[Modality, PulseSequence]

LOWER, UPPER = 0.005, 0.995
"""Quantiles of the brain that map to 0 and 1, those of the preprocessing."""
_KNOTS = 6
_BLUR_REACH = 3
_SHARPEST = 0.05
"""Standard deviation in pixels of a blur that changes nothing."""


@dataclass(frozen=True)
class ScanVariation:
    """How widely source images differ; each image is drawn on its own.

    Attributes:
        sequence: standard deviation of the logarithm of TR, TE and TI.
        gradient_echo: share of patients whose T1 images are inversion-prepared (MPRAGE) instead of spin echo.
        gamma: standard deviation of the logarithm of the exponent on intensities.
        curve: probability of a random monotone curve of six pieces.
        bias: standard deviation of the logarithm of the bias field.
        noise: largest standard deviation of the noise, where the brain's window is 1.
        noise_blur: largest standard deviation in pixels of the noise's blur along each axis: interpolation and
            filters of a scanner make neighbours alike.
        blur: largest standard deviation of a blur in pixels; half of the images are blurred.
        window: probability of a window of the slice's own.
    """

    sequence: float = 0.08
    gradient_echo: float = 0.15
    _: KW_ONLY
    gamma: float = 0.35
    curve: float = 0.5
    bias: float = 0.12
    noise: float = 0.05
    noise_blur: float = 1.2
    blur: float = 0.8
    window: float = 0.5


def draw_sequences(rng: np.random.Generator, variation: ScanVariation, tissues: Tissues) -> Sequences:
    """Draw the protocol of one patient's source images; FLAIR nulls this patient's CSF, more or less."""

    def varied() -> float:
        return float(np.exp(rng.normal() * variation.sequence))

    def t1(prepared: bool, after_contrast: bool) -> PulseSequence:
        if prepared:
            return PulseSequence(1900 * varied(), 4.0, inversion_ms=900 * varied(), after_contrast=after_contrast)
        return PulseSequence(550 * varied(), 12 * varied(), inversion_ms=None, after_contrast=after_contrast)

    native = rng.random() < variation.gradient_echo
    enhanced = native if rng.random() < 0.7 else rng.random() < variation.gradient_echo
    repetition, csf = 9000 * varied(), tissues[TeachingTissue.CSF].t1_ms
    null = csf * np.log(2 / (1 + np.exp(-repetition / csf)))
    return {
        Modality.FLAIR: PulseSequence(
            repetition, 110 * varied(), inversion_ms=float(null * (1 + 0.25 * variation.sequence * rng.normal()))
        ),
        Modality.T1: t1(native, after_contrast=False),
        Modality.T1CE: t1(enhanced, after_contrast=True),
        Modality.T2: replace(SEQUENCES[Modality.T2], repetition_ms=4500 * varied(), echo_ms=95 * varied()),
    }


def scan(
    fractions: Tensor,
    brain: Tensor,
    tissues: Tissues,
    sequences: Sequences,
    others: Tensor,
) -> Tensor:
    """Return the four images of a slice, noiseless, `(4, H, W)` in [0, 1] in `Modality` order, 0 outside the brain.

    Args:
        fractions: `(8, H, W)`, order of `TeachingTissue`.
        brain: `(H, W)` bool.
        tissues: the patient's.
        sequences: how each image is acquired.
        others: `(N, 8)` fractions of voxels elsewhere in the brain: the window is a volume's, not a slice's.
    """
    table = [[sequences[m].signal(tissues[tissue]) for tissue in TeachingTissue] for m in Modality]
    signals = fractions.new_tensor(table)
    image = torch.einsum("mk,khw->mhw", signals, fractions).abs()
    elsewhere = (signals @ others.T).abs()
    values = torch.cat([elsewhere, image[:, brain][:, ::4]], dim=1).sort(dim=1).values
    last = values.shape[1] - 1
    lower, upper = (values[:, round(quantile * last)][:, None, None] for quantile in (LOWER, UPPER))
    return ((image - lower) / (upper - lower).clamp_min(1e-4)).clamp(0, 1) * brain


def randomise(images: Tensor, brain: Tensor, variation: ScanVariation, generator: torch.Generator) -> Tensor:
    """Return source images as other scanners might give them, `(M, H, W)` in [0, 1]; each is drawn on its own.

    Args:
        images: `(M, H, W)` in [0, 1].
        brain: `(M, H, W)` bool.
        variation: how widely they differ.
        generator: source of all draws.
    """
    count = len(images)

    def uniform() -> Tensor:
        return torch.rand(count, generator=generator)[:, None, None]

    gamma = torch.exp(variation.gamma * torch.randn(count, generator=generator))
    images = images ** gamma[:, None, None]
    images = torch.where(uniform() < variation.curve, _curved(images, generator), images)
    sigma = _SHARPEST + variation.blur * uniform()
    images = torch.where(uniform() < 0.5, _blurred(images, brain, sigma[:, 0, 0]), images)
    field = torch.randn(count, 1, 4, 4, generator=generator)
    field = functional.interpolate(field, size=images.shape[1:], mode="bicubic", align_corners=True)[:, 0]
    images = images * torch.exp(variation.bias * field)
    images = images + variation.noise * uniform() * _noise(images.shape, variation.noise_blur, generator)
    return torch.where(uniform() < variation.window, _windowed(images, brain), images).clamp(0, 1)


def _curved(images: Tensor, generator: torch.Generator) -> Tensor:
    """Apply a random monotone curve from 0 to 1 to each image."""
    steps = torch.rand(len(images), _KNOTS, generator=generator) + 0.15
    knots = functional.pad(steps.cumsum(dim=1), (1, 0))
    knots = knots / knots[:, -1:]
    places = images.flatten(1).clamp(0, 1) * _KNOTS
    below = places.floor().clamp(0, _KNOTS - 1).to(torch.int64)
    share = places - below
    curved = knots.gather(1, below) * (1 - share) + knots.gather(1, below + 1) * share
    return curved.view_as(images)


def _blurred(images: Tensor, brain: Tensor, sigma: Tensor) -> Tensor:
    """Blur each image within its brain; `sigma` `(M,)` in pixels."""
    kernels = _bells(sigma)
    kernels = kernels / kernels.sum(dim=1, keepdim=True)
    inside = brain.to(images.dtype)
    stacked = torch.cat([images * inside, inside])[None]
    kernels = kernels.repeat(2, 1)
    for shape in ((-1, 1, 1, 2 * _BLUR_REACH + 1), (-1, 1, 2 * _BLUR_REACH + 1, 1)):
        kernel = kernels.view(shape)
        stacked = functional.conv2d(stacked, kernel, padding="same", groups=stacked.shape[1])
    sums, shares = stacked[0].chunk(2)
    return sums / shares.clamp_min(1e-6)


def _noise(shape: torch.Size, blur: float, generator: torch.Generator) -> Tensor:
    """Draw noise of standard deviation 1, `(M, H, W)`, blurred along each axis by up to `blur` pixels."""
    images, height, width = shape
    noise = torch.randn(images, height + 2 * _BLUR_REACH, width + 2 * _BLUR_REACH, generator=generator)
    for axis in (1, 2):
        kernels = _bells(_SHARPEST + blur * torch.rand(images, generator=generator))
        kernels = kernels / kernels.square().sum(dim=1, keepdim=True).sqrt()
        neighbours = noise.unfold(axis, kernels.shape[1], 1)
        noise = torch.einsum("mhwk,mk->mhw", neighbours, kernels)
    return noise


def _bells(sigma: Tensor) -> Tensor:
    """Return Gaussians of standard deviations `sigma` `(M,)` in pixels, with 1 in the middle; `(M, K)`."""
    distance = torch.arange(-_BLUR_REACH, _BLUR_REACH + 1, dtype=sigma.dtype)
    return torch.exp(-0.5 * (distance / sigma[:, None]) ** 2)


def _windowed(images: Tensor, brain: Tensor) -> Tensor:
    """Give each image the window of its own slice."""
    values = torch.where(brain, images, torch.inf).flatten(1).sort(dim=1).values
    last = (brain.flatten(1).sum(dim=1, keepdim=True) - 1).clamp_min(0)
    lower, upper = (
        values.gather(1, (quantile * last).round().to(torch.int64)).clamp(-1, 2)[:, :, None]
        for quantile in (LOWER, UPPER)
    )
    return (images - lower) / (upper - lower).clamp_min(1e-3)
