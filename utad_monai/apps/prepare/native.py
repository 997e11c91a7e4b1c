"""Bring results on the prepared grid back onto the raw grid, so that they can be read beside the scanner's images."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK as sitk  # noqa: N813

from utad_monai.apps.prepare.case_files import PREPARATION_FOLDER, read_report, transform_file
from utad_monai.apps.prepare.geometry import (
    Grid,
    Matrix,
    array_of,
    image_of,
    inverse,
    matrix_of,
    resample_nearest,
    resample_stripped,
)
from utad_monai.data.quality.finding import CohortError, Finding
from utad_monai.data.sequences import MASKS, read_name
from utad_monai.keys import Modality
from utad_monai.runtime.files import atomic_path
from utad_monai.runtime.folder_lock import locked_folder
from utad_monai.runtime.progress import progress_bar
from utad_monai.transforms import InvalidImageError, NiftiVolume, read_nifti

_GZIP_LEVEL = 3


@dataclass(frozen=True)
class NativeResult:
    """What became of one image.

    Attributes:
        source: the image on the prepared grid.
        file: the image on the raw grid, when it was written.
        problem: why it was not.
    """

    source: Path
    file: Path | None = None
    _: KW_ONLY
    problem: Finding | None = None


def write_native(
    output_dir: Path, results: Path, native_dir: Path, modality: Modality | None = None, progress: bool = True
) -> list[NativeResult]:
    """Bring every image of a folder of results back onto the grid of its case's raw image.

    Images are interpolated linearly over their voxels that are not 0, labels (`seg`, masks, 8-bit images) by the
    nearest voxel. The header's text and the JSON sidecar go along.

    Args:
        output_dir: the prepared cohort, with its transforms.
        results: folder with `<case>/<case>_<anything>.nii.gz` on the prepared grid.
        native_dir: receives the same names.
        modality: onto whose raw grid; None for the reference's.
        progress: whether to show a progress bar.

    Returns:
        What became of each image, by name.

    Raises:
        CohortError: when there is no result, or the output folder is one of the others.
        FolderInUseError: when another run writes to the output folder.
        OutputError: when the output folder cannot be written, or its disk is full.
    """
    if native_dir.resolve() in (output_dir.resolve(), results.resolve()):
        raise CohortError.of(
            native_dir, "is where the prepared images or results are", "choose another --native-output"
        )
    files = sorted(_result_files(results))
    if not files:
        raise CohortError.of(results, "holds no <case>/<case>_<modality>.nii.gz", "give the folder with the results")
    bar = progress_bar(files, "To native space", unit="image", show=progress)
    with locked_folder(native_dir):
        return [_write_one(output_dir, path, native_dir, modality) for path in bar]


def _result_files(results: Path) -> Iterator[Path]:
    for ending in (".nii.gz", ".nii"):
        for path in results.glob(f"*/*{ending}"):
            if path.parent.name != PREPARATION_FOLDER and not path.name.startswith("."):
                yield path


def _write_one(output_dir: Path, path: Path, native_dir: Path, modality: Modality | None) -> NativeResult:
    case_id = path.parent.name
    try:
        prepared, raw, matrix = _placement(output_dir, case_id, modality)
        volume = read_nifti(path)
        if not Grid.from_affine(volume.array.shape, volume.affine).same_as(prepared):
            raise InvalidImageError(path, "does not lie on the prepared grid", "give results of the prepared images")
        target = native_dir / case_id / f"{_stem(path)}.nii.gz"
        _write(target, volume, _to_raw(path, volume, raw, matrix), raw)
    except InvalidImageError as error:
        return NativeResult(path, problem=Finding.of(case_id, error))
    sidecar = path.with_name(f"{_stem(path)}.json")
    if sidecar.is_file():
        with atomic_path(target.with_name(sidecar.name)) as temporary:
            shutil.copyfile(sidecar, temporary)
    return NativeResult(path, target)


def _placement(output_dir: Path, case_id: str, modality: Modality | None) -> tuple[Grid, Grid, Matrix]:
    """Return the prepared grid, the raw grid, and the transform from points of the raw to points of the prepared."""
    report = read_report(output_dir, case_id)
    if report is None:
        folder = output_dir / PREPARATION_FOLDER / case_id
        raise InvalidImageError(folder, "holds no report of a prepared case", "prepare the case first")
    wanted = str(modality or report["reference"])
    if wanted not in report["images"]:
        available = ", ".join(report["images"])
        raise InvalidImageError(output_dir / case_id, f"has no raw {wanted}", f"choose one of {available}")
    path = transform_file(output_dir, case_id, wanted)
    try:
        matrix = matrix_of(sitk.ReadTransform(str(path)))
    except RuntimeError as error:
        raise InvalidImageError(path, "cannot be read as a transform", "prepare the case again") from error
    raw = report["images"][wanted]["raw_grid"]
    prepared = report["prepared_grid"]
    return (
        Grid.from_affine(prepared["size"], prepared["affine"]),
        Grid.from_affine(raw["size"], raw["affine"]),
        inverse(matrix),
    )


def _to_raw(path: Path, volume: NiftiVolume, raw: Grid, matrix: Matrix) -> np.ndarray[Any, Any]:
    image = image_of(volume.array, volume.affine)
    roles = read_name(_stem(path)).roles
    if (roles and roles <= MASKS) or volume.header.get_data_dtype() == np.uint8:
        return array_of(resample_nearest(image, raw, matrix))
    inside = sitk.Cast(image != 0, sitk.sitkUInt8)
    return array_of(resample_stripped(image, inside, raw, matrix))


def _write(path: Path, volume: NiftiVolume, array: np.ndarray[Any, Any], raw: Grid) -> None:
    """Write voxels with the result's header text and data type, and the raw image's geometry."""
    dtype = volume.header.get_data_dtype()
    scaled = float(volume.header["scl_slope"]) not in (0.0, 1.0)
    if dtype.kind in "iu" and not scaled:
        limits = np.iinfo(dtype)
        array = np.rint(array).clip(limits.min, limits.max).astype(dtype)
    image: Any = nibabel.Nifti1Image(array, raw.matrix)
    image.set_sform(raw.matrix, code="scanner")
    image.set_qform(raw.matrix, code="scanner")
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = volume.header["descrip"]
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(image.to_bytes(), _GZIP_LEVEL, mtime=0))


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")
