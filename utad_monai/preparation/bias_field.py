"""N4 bias field correction (Tustison et al. 2010) on a coarse grid: the field is smooth, so that takes seconds."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

from collections.abc import Sequence

import SimpleITK as sitk  # noqa: N813

from utad_monai.preparation.registration import one_itk_thread

_VOXEL_MM = 4.0
"""The field is estimated on voxels of about this size and evaluated on the image's own."""
ITERATIONS = (50, 50)
"""Most iterations at each level of the spline; a third level follows anatomy and flattens oedema."""
_CONTROL_POINTS_MM = 80.0
"""Distance of the spline's control points at the first level; each level halves it."""
_ORDER = 3
_INSIDE = 0.5
_MIN_VOXELS = 1000


def correct_bias(image: sitk.Image, mask: sitk.Image, iterations: Sequence[int] = ITERATIONS) -> sitk.Image:
    """Divide an image by the smooth field that makes the intensities inside a mask most uniform.

    Args:
        image: float32.
        mask: uint8 on the same grid; only its voxels above 0 intensity are looked at.
        iterations: most iterations at each level of the spline.

    Returns:
        The corrected image, float32; unchanged when there is too little to look at.
    """
    used = sitk.And(mask > 0, image > 0)
    factors = [max(1, round(_VOXEL_MM / spacing)) for spacing in image.GetSpacing()]
    coarse = sitk.BinShrink(image, factors)
    coarse_mask = sitk.BinShrink(sitk.Cast(used, sitk.sitkFloat32), factors) > _INSIDE
    if int(sitk.GetArrayViewFromImage(coarse_mask).sum()) < _MIN_VOXELS:
        return image
    corrector = sitk.N4BiasFieldCorrectionImageFilter()
    corrector.SetMaximumNumberOfIterations(iterations)
    extents = [size * spacing for size, spacing in zip(coarse.GetSize(), coarse.GetSpacing(), strict=True)]
    corrector.SetNumberOfControlPoints([_ORDER + max(1, round(extent / _CONTROL_POINTS_MM)) for extent in extents])
    with one_itk_thread():
        corrector.Execute(coarse, coarse_mask)
        field = corrector.GetLogBiasFieldAsImage(image)
    return sitk.Cast(image / sitk.Exp(field), sitk.sitkFloat32)
