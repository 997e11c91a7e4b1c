"""The embedded default: a synthetic brain tumour cohort in the layout of BraTS 2020, never clinical evidence."""

from __future__ import annotations

import gzip
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import KW_ONLY, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pandas
from tqdm import tqdm

from utad_monai.errors import every_failure_is_of
from utad_monai.keys import Modality
from utad_monai.phantom.anatomy import (
    BoolArray,
    FloatArray,
    LabelArray,
    box_affine,
    deform_template,
    load_template,
    smooth_field,
)
from utad_monai.phantom.mr_signal import SEQUENCES, TISSUES, PulseSequence, add_rician_noise, mix_signals
from utad_monai.phantom.tumour import blend_tumour, draw_lesion, grow_tumour
from utad_monai.runtime.files import atomic_path, home_dir, write_table
from utad_monai.runtime.folder_lock import locked_folder
from utad_monai.runtime.progress import progress_bar

ImageArray = npt.NDArray[np.int16]

PHANTOM_VERSION = 1
"""Raised whenever the same seed gives other images, so that cohorts of two versions are never mixed."""

CASE_PREFIX = "BraTS20_Phantom_"
"""Begins the name of every phantom case, so that results on phantoms can be called so."""

SPACINGS_MM = (1.0, 2.0)
"""Isotropic voxel sizes that a phantom may have."""

BRAIN_SIZES = (0.5, 1.0)
"""Ends of the range of the mean brain's length, in lengths of the template's: larger brains leave the field of view."""

_README = """Synthetic brain tumour phantom (version {version}, seed {seed}, {spacing:g} mm{brains})

Every image in this folder was computed from the MNI152 template and the signal equations of MRI.
No patient was imaged. It is for demonstrations and tests only and is never clinical evidence.
File names and labels follow BraTS 2020: 1 necrosis, 2 oedema, 4 enhancing tumour.
"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Acquisition:
    """What differs between patients and between the images of one."""

    tissue_jitter: float = 0.05
    """Largest relative change of a patient's proton densities, T1 and T2."""
    bias: float = 0.1
    """Largest relative change by the bias field."""
    _: KW_ONLY
    bias_knots_mm: float = 60.0
    """Distance of the control points of the bias field."""
    noise: float = 0.025
    """Sigma of the Rician noise, relative to the mean signal in the brain."""
    intensity: tuple[float, float] = (200.0, 1500.0)
    """Ends of the range of an image's mean in the brain, log-uniform: MR images have no physical unit."""


ACQUISITION = Acquisition()


@dataclass(frozen=True, eq=False)
class PhantomCase:
    """One synthetic patient, in voxel order LPS."""

    images: dict[Modality, ImageArray]
    """Each `(X, Y, Z)`; background exactly 0, every brain voxel at least 1."""
    labels: LabelArray
    """`(X, Y, Z)`: 0 healthy or background, 1 necrosis, 2 oedema, 4 enhancing tumour."""
    _: KW_ONLY
    affine: npt.NDArray[np.float64]
    """`(4, 4)`, voxels to mm in RAS world coordinates, as NIfTI has it."""


def make_phantom_case(
    seed: int,
    index: int,
    spacing_mm: float = 2.0,
    brain_size: float = 1.0,
    sequences: Mapping[Modality, PulseSequence] = SEQUENCES,
) -> PhantomCase:
    """Make one synthetic patient.

    Args:
        seed: Seed of the cohort, at least 0.
        index: Number of the patient in the cohort, at least 0; with the seed it determines everything.
        spacing_mm: Isotropic voxel size, 1 or 2 mm; both show the same patient.
        brain_size: Length of the mean patient's brain, 0.5 to 1 times that of the template, which is larger than most.
        sequences: How each image is acquired; those that come first are the same whatever follows.

    Raises:
        ValueError: If the spacing is neither 1 nor 2 mm, the size is out of range, or seed or index is negative.
    """
    _check_lengths(spacing_mm, brain_size)
    patient_rng, tumour_rng, *scan_rngs = np.random.default_rng((seed, index)).spawn(2 + len(sequences))
    lesion = draw_lesion(tumour_rng)
    anatomy = deform_template(lesion, spacing_mm, patient_rng, brain_size)
    labels = grow_tumour(lesion, anatomy, spacing_mm, tumour_rng)
    fractions = blend_tumour(labels, anatomy, spacing_mm, tumour_rng)
    tissues = {name: value.jittered(patient_rng, ACQUISITION.tissue_jitter) for name, value in TISSUES.items()}
    images = {
        modality: _scan(mix_signals(sequence, tissues, fractions), anatomy.brain, spacing_mm, rng)
        for (modality, sequence), rng in zip(sequences.items(), scan_rngs, strict=True)
    }
    return PhantomCase(images, labels, affine=box_affine(spacing_mm))


def write_phantom_cohort(
    output_dir: str | Path,
    cases: int = 24,
    seed: int = 0,
    spacing_mm: float = 2.0,
    progress: bool = True,
    *,
    brain_size: float = 1.0,
    sequences: Mapping[Modality, PulseSequence] = SEQUENCES,
) -> Path:
    """Write a synthetic cohort, in parallel over processes.

    The files are `BraTS20_Phantom_001/BraTS20_Phantom_001_{flair,t1,t1ce,t2,seg}.nii.gz` and so on. Each case depends
    on the seed and its own number alone, and complete cases are kept: an interrupted or smaller cohort is extended.
    Other sequences than the four are named by a table, `cohort.csv`, which no file name could do.

    Args:
        output_dir: Folder of the cohort; made when absent.
        cases: Number of patients, at least 1.
        seed: Seed of the cohort, at least 0.
        spacing_mm: Isotropic voxel size, 1 or 2 mm.
        progress: Whether to show a progress bar.
        brain_size: Length of the mean patient's brain, 0.5 to 1 times that of the template, which is larger than most.
        sequences: How each image is acquired.

    Returns:
        The folder.

    Raises:
        ValueError: If the spacing is neither 1 nor 2 mm, the size is out of range, there is no case to write, or the
            seed is negative.
        FileExistsError: If the folder holds anything but a phantom of the same version, seed, spacing and size.
        OutputError: If the folder cannot be written, or its disk is full.
    """
    _check_lengths(spacing_mm, brain_size)
    if cases < 1 or seed < 0:
        raise ValueError(f"cases must be at least 1 and seed at least 0, got {cases} and {seed}.")
    folder = Path(output_dir)
    brains = "" if brain_size == 1 else f", brains {brain_size} times as long as the template's"
    kinds = "" if list(sequences) == list(SEQUENCES) else f", {', '.join(sequences)}"
    _claim_folder(folder, _README.format(version=PHANTOM_VERSION, seed=seed, spacing=spacing_mm, brains=brains + kinds))
    missing = [number for number in range(1, cases + 1) if not _is_complete(folder, number, sequences)]
    if missing:
        with locked_folder(folder, shared=True):
            make = partial(make_phantom_case, seed, spacing_mm=spacing_mm, brain_size=brain_size, sequences=sequences)
            _write_cases(folder, missing, make, progress)
    if kinds:
        _write_table(folder, cases, sequences)
    return folder


def default_dataset_dir() -> str:
    """Folder of the default cohort, 24 patients at 2 mm, which is written on first use.

    It lies in `$UTAD_MONAI_HOME`, or else in `~/.cache/utad_monai`. One line a process says that a phantom is used.
    """
    folder = home_dir() / f"phantom-v{PHANTOM_VERSION}-24cases-2mm-seed0"
    _announce(f"Using the synthetic phantom cohort (not clinical data) in {folder}")
    return str(write_phantom_cohort(folder, cases=24, seed=0, spacing_mm=2.0))


def _check_lengths(spacing_mm: float, brain_size: float) -> None:
    if spacing_mm not in SPACINGS_MM:
        raise ValueError(f"spacing_mm must be one of {SPACINGS_MM}, got {spacing_mm}.")
    least, most = BRAIN_SIZES
    if not least <= brain_size <= most:
        raise ValueError(f"brain_size must be between {least:g} and {most:g}, got {brain_size}.")


def _scan(signal: FloatArray, brain: BoolArray, spacing_mm: float, rng: np.random.Generator) -> ImageArray:
    """Store the brain's signal `(N,)` as a scanner would: bias field, noise, arbitrary unit; `(X, Y, Z)`."""
    field = smooth_field(spacing_mm, ACQUISITION.bias_knots_mm, rng)[brain]
    intensity = np.exp(rng.uniform(*np.log(ACQUISITION.intensity)))
    biased = signal / signal.mean() * (1 + ACQUISITION.bias * field / np.abs(field).max())
    stored = intensity * add_rician_noise(biased, ACQUISITION.noise, rng)
    image = np.zeros(brain.shape, dtype=np.int16)
    image[brain] = np.clip(np.rint(stored), 1, np.iinfo(np.int16).max)
    return image


@cache  # the same line once
def _announce(line: str) -> None:
    """Log a line, or write it to stderr where the log would swallow it."""
    if logger.isEnabledFor(logging.INFO) and logger.hasHandlers():
        logger.info(line)
    else:
        tqdm.write(line, file=sys.stderr)


def _claim_folder(folder: Path, readme: str) -> None:
    """Mark a new folder as this phantom, or check that an old one is."""
    note = folder / "README.txt"
    with every_failure_is_of(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if note.exists():
        if note.read_text(encoding="utf-8") != readme:
            raise FileExistsError(f"{folder} holds something else than: {readme.splitlines()[0]}.")
    elif any(not entry.name.startswith(".") for entry in folder.iterdir()):
        raise FileExistsError(f"{folder} holds other files; a phantom needs a folder of its own.")
    else:
        with atomic_path(note) as temporary:
            temporary.write_text(readme, encoding="utf-8")


def _case_files(folder: Path, number: int, images: Iterable[Modality]) -> dict[str, Path]:
    name = f"{CASE_PREFIX}{number:03d}"
    return {suffix: folder / name / f"{name}_{suffix}.nii.gz" for suffix in (*images, "seg")}


def _is_complete(folder: Path, number: int, images: Iterable[Modality]) -> bool:
    return all(path.is_file() for path in _case_files(folder, number, images).values())


def _write_table(folder: Path, cases: int, images: Iterable[Modality]) -> None:
    """Write `cohort.csv`, one row a case, one column a part."""
    rows = []
    for number in range(1, cases + 1):
        files = _case_files(folder, number, images)
        row = {part: path.relative_to(folder).as_posix() for part, path in files.items()}
        rows.append({"case": files["seg"].parent.name} | row)
    write_table(folder / "cohort.csv", pandas.DataFrame(rows))


def _write_cases(folder: Path, numbers: list[int], make: Callable[[int], PhantomCase], progress: bool) -> None:
    load_template()  # once, before the threads ask for it
    with ThreadPoolExecutor(min(len(numbers), os.cpu_count() or 1)) as pool:
        jobs = [pool.submit(_write_case, folder, number, make) for number in numbers]
        bar = progress_bar(as_completed(jobs), "Writing phantom", total=len(jobs), unit="case", show=progress)
        for job in bar:
            job.result()


def _write_case(folder: Path, number: int, make: Callable[[int], PhantomCase]) -> None:
    case = make(number)
    files = _case_files(folder, number, case.images)
    arrays: list[tuple[str, ImageArray | LabelArray]] = [*case.images.items(), ("seg", case.labels)]
    for suffix, array in arrays:
        with atomic_path(files[suffix]) as temporary:
            temporary.write_bytes(_nifti_bytes(array, case.affine))


def _nifti_bytes(array: ImageArray | LabelArray, affine: npt.NDArray[np.float64]) -> bytes:
    """A compressed NIfTI file, without a time stamp: equal images are equal files."""
    image: Any = nib.Nifti1Image(array, affine)
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = b"synthetic phantom, not clinical data"
    return gzip.compress(image.to_bytes(), compresslevel=3, mtime=0)
