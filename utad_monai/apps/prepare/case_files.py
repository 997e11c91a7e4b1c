"""What a preparation writes of a case: images, masks, transforms and a picture."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import ndimage

from utad_monai import __version__
from utad_monai.apps.prepare.case_preparation import PreparedCase
from utad_monai.apps.prepare.geometry import Grid, array_of, transform_of
from utad_monai.runtime.files import atomic_path, read_record, write_json

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return


_INCHES = 2.6
_DPI = 90
_MARGIN = 6
"""Voxels around the brain that are shown."""
_EDGE_QUANTILES = (0.75, 0.9)
"""Gradients of the brain above which edges go on, and begin."""
_EDGE_COLOUR = (1.0, 0.75, 0.0, 0.8)
_OUTLINE_COLOUR = "#35c9ff"
_PLANES = ("sagittal", "coronal", "axial")

Volume = npt.NDArray[Any]


def write_picture(path: Path, case: PreparedCase) -> Path:
    """Draw a row for each modality: where edges (orange) do not follow the tissue, the registration failed.

    Args:
        path: PNG file.
        case: a prepared case.
    """
    whole = array_of(case.brain) > 0
    box = _box(whole) if whole.any() else (slice(None),) * 3
    brain, edges = whole[box], _edges(case.images[case.reference], whole)[box]
    centre = [length // 2 for length in brain.shape]
    figure = Figure(figsize=(3 * _INCHES, len(case.images) * _INCHES), layout="constrained", facecolor="black")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(case.images), 3, squeeze=False)
    for row, (modality, image) in zip(axes, case.images.items(), strict=True):
        volume = array_of(image)[box]
        high = float(np.percentile(volume[brain], 99.5)) if brain.any() else float(volume.max())
        for axis, plane in enumerate(row):
            _draw(plane, [_slice(v, axis, centre[axis]) for v in (volume, edges, brain)], high, case.grid.matrix, axis)
            mark = " (reference)" if modality == case.reference else ""
            plane.set_title(f"{modality}{mark}, {_PLANES[axis]}", color="white", fontsize=8)
    if case.mask.rough:
        figure.suptitle("ROUGH brain mask (threshold and morphology)", color="#ff6b6b", fontsize=10)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=_DPI, metadata={"Software": None})
    return path


def _edges(reference: sitk.Image, brain: Volume) -> Volume:
    """Return the thin lines of the strongest edges (Canny) of the reference inside the brain, `(X, Y, Z)` bool."""
    gradient = array_of(sitk.GradientMagnitudeRecursiveGaussian(reference, 1.0))
    inner = ndimage.binary_erosion(brain, iterations=3)
    if not inner.any():
        return np.zeros_like(brain)
    weak, strong = (float(value) for value in np.quantile(gradient[inner], _EDGE_QUANTILES))
    lines: Volume = inner & (array_of(sitk.CannyEdgeDetection(reference, weak, strong, [1.0] * 3)) > 0)
    return lines


def _box(brain: Volume) -> tuple[slice, ...]:
    """Return the smallest box around the brain, and a margin."""
    box = ndimage.find_objects(brain.astype(np.uint8))
    return tuple(slice(max(0, side.start - _MARGIN), side.stop + _MARGIN) for side in box[0])


def _slice(volume: Volume, axis: int, index: int) -> Volume:
    return np.take(volume, index, axis=axis).T


def _draw(plane: Any, slices: list[Volume], high: float, affine: Volume, axis: int) -> None:
    image, edges, brain = slices
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    across, up = [other for other in range(3) if other != axis]
    origin = "upper" if axis == 2 else "lower"  # LPS: the third axis grows upwards, the second to the back
    aspect = spacing[up] / spacing[across]
    plane.imshow(image, cmap="gray", vmin=0, vmax=max(high, 1e-6), origin=origin, aspect=aspect)
    overlay = np.zeros((*edges.shape, 4))
    overlay[edges] = _EDGE_COLOUR
    plane.imshow(overlay, origin=origin, aspect=aspect, interpolation="nearest")
    if brain.any() and not brain.all():
        plane.contour(brain, [0.5], colors=[_OUTLINE_COLOUR], linewidths=0.7, origin=None)
    plane.set_axis_off()


# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return


PREPARATION_FOLDER = "preparation"
"""Folder of an output that holds transforms, reports and pictures."""
REPORT_FILE = "report.json"
PICTURE_FILE = "picture.png"
MASK_FILE = "brain_mask.nii.gz"
_GZIP_LEVEL = 3
_DESCRIP_BYTES = 79


def case_folder(output_dir: Path, case_id: str) -> Path:
    """Return where the report, transforms and picture of a case are."""
    return output_dir / PREPARATION_FOLDER / case_id


def transform_file(output_dir: Path, case_id: str, modality: str) -> Path:
    """Return the file of the transform from the prepared grid to a raw image (ITK text, LPS mm)."""
    return case_folder(output_dir, case_id) / f"prepared_to_{modality}.tfm"


def read_report(output_dir: Path, case_id: str) -> dict[str, Any] | None:
    """Return the report of a finished case, or None when there is none that can be read."""
    report = read_record(case_folder(output_dir, case_id) / REPORT_FILE)
    return report if report is not None and isinstance(report.get("outputs"), dict) else None


def is_finished(output_dir: Path, case_id: str, fingerprint: str) -> bool:
    """Tell whether a case was prepared from the same inputs and settings and its files are still as they were."""
    report = read_report(output_dir, case_id)
    if report is None or report.get("fingerprint") != fingerprint:
        return False
    outputs = report["outputs"]
    return bool(outputs) and all(digest and _sha256(output_dir / name) == digest for name, digest in outputs.items())


def forget_case(output_dir: Path, case_id: str) -> None:
    """Remove what an earlier preparation of a case wrote, the report first; other files stay."""
    report = read_report(output_dir, case_id)
    (case_folder(output_dir, case_id) / REPORT_FILE).unlink(missing_ok=True)
    for name in report["outputs"] if report else ():
        with suppress(OSError, ValueError):  # a name that no file can have
            if (output_dir / name).resolve().is_relative_to(output_dir.resolve()):
                (output_dir / name).unlink(missing_ok=True)
    for folder in (case_folder(output_dir, case_id), output_dir / case_id):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def write_case(output_dir: Path, case_id: str, case: PreparedCase, report: Mapping[str, Any]) -> dict[str, Any]:
    """Write images, sidecars, mask, transforms, picture and report of a case.

    Args:
        output_dir: the prepared cohort.
        case_id: the case.
        case: what to write.
        report: what to say about it; the names and hashes of the files are added.

    Returns:
        The report as written.

    Raises:
        OSError: when a file cannot be written.
    """
    forget_case(output_dir, case_id)
    files = list(_write_images(output_dir / case_id, case_id, case, report))
    folder = case_folder(output_dir, case_id)
    for modality, matrix in case.matrices.items():
        path = transform_file(output_dir, case_id, modality)
        with atomic_path(path) as temporary:
            sitk.WriteTransform(transform_of(matrix), str(temporary))
        files.append(path)
    files.append(write_nifti(folder / MASK_FILE, case.brain, case.grid, "brain mask" + _rough(case)))
    files.append(write_picture(folder / PICTURE_FILE, case))
    outputs = {path.relative_to(output_dir).as_posix(): _sha256(path) for path in files}
    complete = {**report, "outputs": outputs}
    write_json(folder / REPORT_FILE, complete)
    return complete


def write_nifti(path: Path, image: sitk.Image, grid: Grid, text: str) -> Path:
    """Write a compressed NIfTI file on a grid; equal images make equal files.

    Args:
        path: the file.
        image: float32 or uint8.
        grid: gives the affine.
        text: the header's `descrip`, at most 79 characters.
    """
    nifti: Any = nibabel.Nifti1Image(array_of(image), np.array(grid.affine))
    nifti.set_sform(grid.matrix, code="scanner")
    nifti.set_qform(grid.matrix, code="scanner")
    nifti.header.set_xyzt_units("mm")
    nifti.header["descrip"] = text.encode("ascii", "replace")[:_DESCRIP_BYTES]
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(nifti.to_bytes(), _GZIP_LEVEL, mtime=0))
    return path


def _write_images(folder: Path, case_id: str, case: PreparedCase, report: Mapping[str, Any]) -> Iterator[Path]:
    text = f"prepared by UTAD-MONAI {__version__}, brain mask {case.mask.method}{_rough(case)}"
    for modality, image in case.images.items():
        path = folder / f"{case_id}_{modality}.nii.gz"
        yield write_nifti(path, image, case.grid, text)
        sidecar = folder / f"{case_id}_{modality}.json"
        write_json(sidecar, _sidecar(case, report))
        yield sidecar
    if case.segmentation is not None:
        yield write_nifti(folder / f"{case_id}_seg.nii.gz", case.segmentation, case.grid, text)
        if "labels" in report:
            sidecar = folder / f"{case_id}_seg.json"
            write_json(sidecar, report["labels"])
            yield sidecar


def _sidecar(case: PreparedCase, report: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "SkullStripped": not report["brain_mask"]["skull_stays"],
        "BrainMask": str(case.mask.method),
        "BrainMaskQuality": "ROUGH" if case.mask.rough else "as given by its method",
        "BiasCorrected": report["settings"]["n4"],
        "ReferenceModality": str(case.reference),
        "GeneratedBy": [{"Name": "UTAD-MONAI", "Version": __version__}],
    }


def _rough(case: PreparedCase) -> str:
    return " (ROUGH)" if case.mask.rough else ""


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, ValueError):  # absent, or a name that no file can have
        return ""
