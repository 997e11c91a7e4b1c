"""Skull stripping by installed programs, HD-BET and SynthStrip, called as sub-processes on a nameless copy."""

# SimpleITK has no types
# mypy: untyped-calls-exclude="SimpleITK,nibabel", disable-error-code=no-any-return

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import SimpleITK as sitk  # noqa: N813
import torch

from utad_monai.apps.prepare.geometry import Grid, image_of
from utad_monai.apps.prepare.settings import BrainMaskMethod, RefusedCaseError
from utad_monai.transforms import InvalidImageError, read_nifti

COMMANDS = {
    BrainMaskMethod.HD_BET: ("hd-bet",),
    BrainMaskMethod.SYNTHSTRIP: ("mri_synthstrip", "nipreps-synthstrip"),
}
"""Names of the programs, looked for on the PATH in this order."""
_TIMEOUT_S = 3600
_LAST_WORDS = 200


def installed_command(method: BrainMaskMethod) -> str | None:
    """Return the path of the program of a method, or None when it is not installed."""
    return next((found for name in COMMANDS[method] if (found := shutil.which(name))), None)


def strip_skull(image: sitk.Image, method: BrainMaskMethod) -> sitk.Image:
    """Let an installed program find the brain.

    Args:
        image: float32, with skull.
        method: `HD_BET` or `SYNTHSTRIP`.

    Returns:
        uint8 mask on the same grid.

    Raises:
        RefusedCaseError: when the program is missing, fails, takes more than an hour, or gives no mask.
    """
    command = installed_command(method)
    if command is None:
        names = " or ".join(COMMANDS[method])
        raise RefusedCaseError(
            f"{method} is not installed: no {names} on the PATH", "install it or choose another mask"
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        head, result = folder / "head.nii.gz", folder / "brain.nii.gz"
        sitk.WriteImage(image, str(head))
        _run(method, [command, "-i", str(head), "-o", str(result), *_options(method, command, folder)], folder)
        mask = folder / "mask.nii.gz"
        return _read_mask(method, mask if mask.is_file() else result, Grid.of(image))


def _options(method: BrainMaskMethod, command: str, folder: Path) -> list[str]:
    if method is BrainMaskMethod.HD_BET:  # versions 1 and 2 differ in every option but these
        return [] if torch.cuda.is_available() else ["-device", "cpu"]
    options = ["-m", str(folder / "mask.nii.gz")]
    model = Path(os.environ.get("FREESURFER_HOME", folder)) / "models" / "synthstrip.1.pt"
    return [*options, "--model", str(model)] if "nipreps" in Path(command).name and model.is_file() else options


def _run(method: BrainMaskMethod, command: list[str], folder: Path) -> None:
    remedy = "run it by hand to see why, or choose another mask"
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise RefusedCaseError(f"{method} was not done after {_TIMEOUT_S} s", remedy) from error
    except OSError as error:
        raise RefusedCaseError(f"{method} could not be started ({error.strerror})", remedy) from error
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1][-_LAST_WORDS:]
        raise RefusedCaseError(f"{method} failed with exit code {done.returncode}: {words}", remedy)


def _read_mask(method: BrainMaskMethod, path: Path, grid: Grid) -> sitk.Image:
    try:
        volume = read_nifti(path)
    except InvalidImageError as error:
        raise RefusedCaseError(
            f"{method} wrote no usable image ({error.reason})", "run it by hand to see why"
        ) from error
    mask = image_of((volume.array != 0).astype("uint8"), volume.affine)
    if not Grid.of(mask).same_as(grid):
        raise RefusedCaseError(f"{method} wrote an image on another grid", "choose another mask")
    return sitk.BinaryFillhole(mask)
