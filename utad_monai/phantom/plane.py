"""Tissue fractions of one axial slice of each of several teaching patients, computed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from utad_monai.phantom.acquisition import TeachingTissue
from utad_monai.phantom.anatomy import BOX_CENTRE_MM, load_template
from utad_monai.phantom.patient import MOST_FOCI, TeachingPatient

_TUMOUR_SHARE = 0.35
"""Least share of tumour in a voxel that a rater would outline."""
_VENTRICLES = ((14.0, -12.0, 16.0), (16.0, 34.0, 18.0))
"""Centre (of the right one) and extent of a lateral ventricle in MNI mm."""
_DEEP_GREY = ((0.0, -8.0, 4.0), (36.0, 32.0, 22.0))
"""Centre and extent of the basal ganglia and the thalamus in MNI mm."""
_AROUND_VENTRICLES = ((0.0, -15.0, 18.0), (34.0, 52.0, 30.0))
"""Centre and extent of the region about whose surface white matter ages first, in MNI mm."""


@dataclass(frozen=True)
class BrainSlices:
    """Slices of B patients.

    Attributes:
        fractions: `(B, 8, H, W)`, order of `TeachingTissue`; they sum to 1 in the brain and are 0 outside.
        brain: `(B, H, W)` bool.
        tumour: `(B, H, W)` bool, whole tumour.
    """

    fractions: Tensor
    brain: Tensor
    _: KW_ONLY
    tumour: Tensor


def paint_slices(patients: Sequence[TeachingPatient], size: tuple[int, int], pixel_mm: float) -> BrainSlices:
    """Paint one slice of each patient, anterior on top, left on the right.

    Args:
        patients: what to paint; patient k is painted the same whatever the others are.
        size: height H and width W in pixels; the slice is centred on the template's brain.
        pixel_mm: side of a pixel.
    """
    fields = _Fields(patients, size, pixel_mm)
    points = _points_mm(patients, size, pixel_mm) + fields(32.0, 3) * _numbers(patients, "displacement")
    brain = _sampled("brain", points)[:, 0] > 0.5
    healthy, grey = _healthy_tissue(patients, points, fields)
    fractions, tumour = _with_tumours(patients, points, healthy, grey, fields)
    return BrainSlices(fractions * brain[:, None], brain, tumour=tumour & brain)


class _Fields:
    """Smooth Gaussian random fields of variance about 1; each patient's come from its own seed, in turn."""

    def __init__(self, patients: Sequence[TeachingPatient], size: tuple[int, int], pixel_mm: float) -> None:
        self.size = size
        self.extent_mm = max(size) * pixel_mm
        self.generators = [torch.Generator().manual_seed(patient.noise_seed) for patient in patients]

    def __call__(self, knots_mm: float, channels: int) -> Tensor:
        """Return `(B, channels, H, W)` with control points so far apart."""
        knots = max(4, round(self.extent_mm / knots_mm) + 3)
        values = torch.stack([torch.randn(channels, knots, knots, generator=g) for g in self.generators])
        side = max(self.size)
        field = functional.interpolate(values, size=(side, side), mode="bicubic", align_corners=True)
        return 1.25 * field[:, :, : self.size[0], : self.size[1]]


def _points_mm(patients: Sequence[TeachingPatient], size: tuple[int, int], pixel_mm: float) -> Tensor:
    """Return where in the template, in MNI mm, each pixel lies before displacement; `(B, 3, H, W)`."""
    height, width = size
    rows = -(torch.arange(height) - (height - 1) / 2) * pixel_mm
    columns = -(torch.arange(width) - (width - 1) / 2) * pixel_mm
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    plane = torch.stack([x, y, torch.zeros_like(x)])
    poses = torch.from_numpy(np.stack([patient.pose for patient in patients]))
    centre = torch.tensor(BOX_CENTRE_MM, dtype=torch.float32)
    starts = torch.from_numpy(np.stack([patient.shift_mm for patient in patients])) + centre
    starts[:, 2] = torch.tensor([patient.slice_mm for patient in patients])
    return torch.einsum("bij,jhw->bihw", poses, plane) + starts[:, :, None, None]


def _healthy_tissue(patients: Sequence[TeachingPatient], points: Tensor, fields: _Fields) -> tuple[Tensor, Tensor]:
    """Return fractions of all tissues `(B, 8, H, W)`, none of a tumour yet, and of all grey matter `(B, H, W)`."""
    inner = points + fields(12.0, 3) * _numbers(patients, "fine_displacement")
    inner = _with_ventricles(inner, _numbers(patients, "ventricles"))
    inner = _pushed_aside(patients, inner)
    maps = _sampled("tissue", inner)
    fluid = (1 - maps.sum(dim=1)).clamp(0, 1) * torch.exp(0.35 * fields(10.0, 1)[:, 0])
    parts = torch.stack([fluid * _numbers(patients, "atrophy")[:, 0], maps[:, 0], maps[:, 1]], dim=1)
    parts = parts ** _numbers(patients, "sharpening")
    fluid, grey, white = (parts / parts.sum(dim=1, keepdim=True).clamp_min(1e-6)).unbind(dim=1)
    deep = torch.sigmoid(12 * (1 - _distance(points, *_DEEP_GREY)))
    aged = torch.sigmoid(4 * (fields(9.0, 1)[:, 0] - 1))
    aged = aged * torch.exp(-(((_distance(points, *_AROUND_VENTRICLES) - 0.8) / 0.35) ** 2))
    spots = 0.8 * (aged * _numbers(patients, "white_spots")[:, 0] * white).clamp(0, 0.8)
    fractions = points.new_zeros(len(points), len(TeachingTissue), *points.shape[2:])
    fractions[:, TeachingTissue.CSF] = fluid
    fractions[:, TeachingTissue.GREY] = grey * (1 - deep)
    fractions[:, TeachingTissue.DEEP_GREY] = grey * deep
    fractions[:, TeachingTissue.WHITE] = white - spots
    fractions[:, TeachingTissue.OEDEMA] = spots
    return fractions, grey


def _with_ventricles(points: Tensor, growth: Tensor) -> Tensor:
    """Make the lateral ventricles larger (growth above 0) or smaller."""
    centre, extent = _VENTRICLES
    for side in (-1.0, 1.0):
        offset = points - points.new_tensor([side * centre[0], *centre[1:]])[None, :, None, None]
        near = (offset / points.new_tensor(extent)[None, :, None, None]).square().sum(dim=1, keepdim=True)
        points = points - 0.6 * growth * torch.exp(-0.5 * near) * offset
    return points


def _pushed_aside(patients: Sequence[TeachingPatient], points: Tensor) -> Tensor:
    """Displace tissue about each focus, as `data.phantom_anatomy.deform_template` does."""
    for focus in _foci(patients):
        offset = points - focus("centre")
        near = offset.square().sum(dim=1, keepdim=True) / focus("radius") ** 2
        points = points - focus("present") * focus("mass") * torch.exp(-0.5 * near) * offset
    return points


def _with_tumours(
    patients: Sequence[TeachingPatient], points: Tensor, healthy: Tensor, grey: Tensor, fields: _Fields
) -> tuple[Tensor, Tensor]:
    """Replace healthy tissue by that of each focus; return fractions and the whole tumour's mask."""
    fluid = healthy[:, TeachingTissue.CSF]
    fractions = healthy
    tumour = torch.zeros_like(grey, dtype=torch.bool)
    for focus in _foci(patients):
        field = fields(11.0, 4)  # drawn for absent foci too: what is present must not shift the draws of others
        fine, patches, grain = fields(5.0, 1)[:, 0], fields(14.0, 1)[:, 0], fields(8.0, 1)[:, 0]
        rough = focus("roughness")[:, 0]
        radii = (points - focus("centre")) / focus("radius")
        whole = _length(radii - focus("aside")) + focus("csf_barrier")[:, 0] * fluid
        whole = whole + focus("grey_barrier")[:, 0] * grey + rough * field[:, 0]
        core = _length(radii * focus("stretch")) + 0.8 * fluid + rough * (field[:, 1] + 0.5 * fine)
        limit, necrosis = focus("core")[:, 0], focus("fluid")[:, 0]
        there = focus("present")[:, 0]
        density = (focus("density")[:, 0] + 0.12 * field[:, 3]).clamp(0.2, 1)
        infiltrated = there * density * _inside(whole, 1.0, focus("edge")[:, 0])
        solid = there * _inside(core, limit, focus("core_edge")[:, 0]) * (0.9 + 0.1 * grain).clamp(0.5, 1)
        liquid = _inside(core + 0.7 * rough * field[:, 2], limit * necrosis, focus("core_edge")[:, 0]) * (necrosis > 0)
        silent = torch.sigmoid(4 * (focus("non_enhancing")[:, 0] - 0.8 * patches))
        share = torch.maximum(infiltrated, solid)
        fractions = fractions * (1 - share[:, None])
        fractions[:, TeachingTissue.OEDEMA] += share - solid
        fractions[:, TeachingTissue.NECROSIS] += solid * liquid
        fractions[:, TeachingTissue.ENHANCING] += solid * (1 - liquid) * (1 - silent)
        fractions[:, TeachingTissue.NON_ENHANCING] += solid * (1 - liquid) * silent
        tumour = tumour | (share > _TUMOUR_SHARE)
    return fractions, tumour


def _inside(score: Tensor, limit: Tensor | float, softness: Tensor) -> Tensor:
    """Return 1 where a score is well below its limit, 0 where it is well above."""
    return torch.sigmoid(2 * (limit - score) / softness)


class _Focus:
    """The numbers of one focus of every patient, shaped to be broadcast over images."""

    def __init__(self, patients: Sequence[TeachingPatient], place: int) -> None:
        self.patients, self.place = patients, place

    def __call__(self, name: str) -> Tensor:
        """Return `(B, 1, 1, 1)`, of vectors `(B, 3, 1, 1)`."""
        values = np.stack([patient.foci[name][self.place] for patient in self.patients])
        return torch.from_numpy(values.reshape(len(values), -1)[:, :, None, None])


def _foci(patients: Sequence[TeachingPatient]) -> list[_Focus]:
    return [_Focus(patients, place) for place in range(MOST_FOCI)]


def _numbers(patients: Sequence[TeachingPatient], name: str) -> Tensor:
    """Return one number of each patient, `(B, 1, 1, 1)`."""
    return torch.tensor([patient.numbers[name] for patient in patients], dtype=torch.float32)[:, None, None, None]


def _length(vectors: Tensor) -> Tensor:
    """Return the length of vectors `(B, 3, H, W)`; torch's own norm is ten times slower over this axis."""
    return vectors.square().sum(dim=1).sqrt()


def _distance(points: Tensor, centre: Sequence[float], extent: Sequence[float]) -> Tensor:
    """Return the distance from a centre in units of an ellipsoid's extent, `(B, H, W)`."""
    shape = (1, 3, 1, 1)
    return _length((points - points.new_tensor(centre).view(shape)) / points.new_tensor(extent).view(shape))


def _sampled(name: str, points: Tensor) -> Tensor:
    """Interpolate maps of the template at `(B, 3, H, W)` MNI mm; `(B, C, H, W)`, 0 to 1, 0 outside."""
    volume = _template_maps()[name]
    to_voxels = torch.from_numpy(np.linalg.inv(load_template().affine).astype(np.float32))
    voxels = torch.einsum("ij,bjhw->bihw", to_voxels[:3, :3], points) + to_voxels[:3, 3][None, :, None, None]
    extents = points.new_tensor(volume.shape[2:])[None, :, None, None] - 1
    places = (2 * voxels / extents - 1).flip(1).permute(0, 2, 3, 1)  # grid_sample counts the last axis first
    batch, height, width, _ = places.shape
    values = functional.grid_sample(volume, places.reshape(1, 1, -1, width, 3), align_corners=True)
    return values[0, :, 0].reshape(-1, batch, height, width).transpose(0, 1)


@cache
def _template_maps() -> dict[str, Tensor]:
    template = load_template()
    tissue = torch.from_numpy(np.stack([template.grey, template.white])).to(torch.float32) / 255
    return {"tissue": tissue[None], "brain": torch.from_numpy(template.brain).to(torch.float32)[None, None] / 255}
