"""Memory-mapped 2-D slices of a cohort: made once, in parallel, and reused by every later run."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from utad_monai.data.layouts import Case
from utad_monai.data.layouts.case import SEGMENTATION
from utad_monai.data.preprocessing import CaseSlices, LoadedCase, Preprocessing, load_case, slice_case
from utad_monai.data.quality.finding import CohortError, Finding
from utad_monai.data.quality.mix_up import voxel_digests
from utad_monai.keys import Modality
from utad_monai.runtime.files import atomic_folder, read_record
from utad_monai.runtime.folder_lock import locked_folder
from utad_monai.runtime.progress import progress_bar
from utad_monai.runtime.workers import map_in_threads
from utad_monai.transforms import BACKGROUND, IntensityWindow

_FORMAT = 4
"""Raised whenever the content of a cache entry changes its meaning."""
_UNNAMED_LABELS = {(1, 1), (2, 2), (3, 3), (4, 3)}
"""Values and canonical labels of layouts that name no label set, before such sets had names."""
_INDEX = "case.json"
_LABELS = "labels"
_OPEN_VOLUMES = 256
"""Memory maps kept open at once, well below the usual limit of 1024 open files."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SlicedCase:
    """What is known of a cached case without opening its slices.

    Attributes:
        case_id: name of the case.
        patient_id: its patient.
        folder: where its slices lie.
        windows: intensity window of each available modality, in file units.
        first_slice: axial index of the first cached slice in the volume.
        slice_mm: distance of neighbouring slices in mm.
        brain_pixels: brain pixels of each slice.
        tumour_pixels: whole-tumour pixels of each slice; None without a segmentation.
        warnings: what was doubtful about its files.
        digests: hash of the normalised voxels of each image: those of equal images are equal, whatever their headers.
    """

    case_id: str
    patient_id: str
    _: KW_ONLY
    folder: Path
    windows: Mapping[Modality, IntensityWindow]
    first_slice: int
    slice_mm: float
    brain_pixels: tuple[int, ...]
    tumour_pixels: tuple[int, ...] | None
    warnings: tuple[str, ...]
    digests: Mapping[Modality, str] = field(default_factory=dict)

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Available modalities, in the order of the preprocessing's."""
        return tuple(self.windows)


class SliceStore:
    """Slices of the prepared cases of a cohort, opened lazily: memory does not grow with the cohort.

    Args:
        cases: prepared cases.
        preprocessing: what they were prepared with.
    """

    def __init__(self, cases: Sequence[SlicedCase], preprocessing: Preprocessing) -> None:
        self.cases = {case.case_id: case for case in cases}
        self.preprocessing = preprocessing

    def image(self, case_id: str, modality: Modality) -> np.ndarray[Any, Any]:
        """Return the memory-mapped slices `(Z, H, W)` float16 in [-1, 1] of one image.

        Raises:
            KeyError: when the case lacks the modality.
        """
        case = self.cases[case_id]
        if modality not in case.windows:
            raise KeyError(f"case {case_id} has no {modality} image")
        return _open_volume(case.folder / f"{modality}.npy")

    def labels(self, case_id: str) -> np.ndarray[Any, Any]:
        """Return the memory-mapped canonical labels `(Z, H, W)` uint8 of one case.

        Raises:
            KeyError: when the case has no segmentation.
        """
        case = self.cases[case_id]
        if case.tumour_pixels is None:
            raise KeyError(f"case {case_id} has no segmentation")
        return _open_volume(case.folder / f"{_LABELS}.npy")


@lru_cache(maxsize=_OPEN_VOLUMES)
def _open_volume(path: Path) -> np.ndarray[Any, Any]:
    volume: np.ndarray[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return volume


def prepare_slices(
    cases: Sequence[Case],
    preprocessing: Preprocessing,
    cache_dir: str | Path,
    workers: int | None = None,
    progress: bool = True,
) -> SliceStore:
    """Prepare every case that is not in the cache yet, and open the cache: `prepare_sound_slices`, all or nothing.

    Raises:
        CohortError: with every problem of every case, one line each; sound cases stay cached.
    """
    store, problems = prepare_sound_slices(cases, preprocessing, cache_dir, workers, progress)
    if problems:
        raise CohortError(problems)
    return store


def prepare_sound_slices(
    cases: Sequence[Case],
    preprocessing: Preprocessing,
    cache_dir: str | Path,
    workers: int | None = None,
    progress: bool = True,
) -> tuple[SliceStore, list[Finding]]:
    """Prepare every case that is not in the cache yet, and open the cache.

    An entry is keyed by the path, size and modification time of the file (and channel) of every modality, by what the
    labels mean and by every preprocessing parameter; it appears whole or not at all.

    Args:
        cases: cases to prepare.
        preprocessing: what the networks shall see.
        cache_dir: folder of the cache; shared by all runs.
        workers: threads, by default one per processor.
        progress: whether to show a progress bar.

    Returns:
        The slices of the sound cases, and every problem of every other case.
    """
    entries = [Path(cache_dir) / case_key(case, preprocessing) for case in cases]
    waiting = [(case, entry) for case, entry in zip(cases, entries, strict=True) if _read_index(entry) is None]
    problems: list[Finding] = []
    if waiting:
        with locked_folder(cache_dir, shared=True):
            problems = _prepare_all(waiting, preprocessing, workers or os.cpu_count() or 1, progress)
    prepared = [case for case in map(_read_index, entries) if case is not None]
    for case in prepared:
        for warning in case.warnings:
            _say_once(case.folder, case.case_id, warning)
    return SliceStore(prepared, preprocessing), problems


@cache
def _say_once(_: Path, case_id: str, warning: str) -> None:
    """Log a warning of a cache entry, once in a process: a training and its evaluation prepare the same cohort."""
    _logger.warning("case %s: %s", case_id, warning)


def case_key(case: Case, preprocessing: Preprocessing) -> str:
    """Return a name that changes with path, size, time and meaning of every file, and with the parameters."""
    parts: list[tuple[str, int | None, Path]] = [(m, case.channel(m), path) for m, path in case.images.items()]
    if case.segmentation:
        parts.append((SEGMENTATION, None, case.segmentation))
    files = [(part, channel, str(path.absolute()), *_identity(path)) for part, channel, path in parts]
    labels = _label_key(case)
    content = [_FORMAT, case.case_id, case.patient_id, files, labels, preprocessing.description()]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def _label_key(case: Case) -> list[tuple[int, int]]:
    """Return what the labels mean, in the words of earlier versions: what means the same there keeps its entry."""
    labels = {(value, int(label)) for value, label in case.labels.items()}
    if case.layout.label_set is None and labels <= _UNNAMED_LABELS:
        labels = _UNNAMED_LABELS
    return sorted((value, label) for value, label in labels if label)


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:  # the loader will say what is wrong with it
        return (-1, -1)
    return status.st_size, status.st_mtime_ns


def _prepare_all(
    waiting: Sequence[tuple[Case, Path]], preprocessing: Preprocessing, workers: int, progress: bool
) -> list[Finding]:
    problems: list[Finding] = []
    jobs = [(case, entry, preprocessing) for case, entry in waiting]
    results = map_in_threads(_prepare_one, jobs, workers)
    bar = progress_bar(results, "Preparing slices", total=len(jobs), unit="case", show=progress)
    for found in bar:
        problems.extend(found)
    return problems


def _prepare_one(job: tuple[Case, Path, Preprocessing]) -> tuple[Finding, ...]:
    """Prepare one case into its entry; return its problems."""
    case, entry, preprocessing = job
    if _read_index(entry) is not None:  # another process was faster
        return ()
    try:
        loaded = load_case(case, preprocessing)
    except CohortError as error:
        return error.problems
    slices = slice_case(loaded, preprocessing)
    if entry.exists() and _read_index(entry) is None:  # half an entry is worth nothing
        shutil.rmtree(entry)
    with atomic_folder(entry) as folder:
        for modality, image in slices.images.items():
            np.save(folder / f"{modality}.npy", image.numpy().astype(np.float16))
        if slices.labels is not None:
            np.save(folder / f"{_LABELS}.npy", slices.labels.numpy())
        (folder / _INDEX).write_text(json.dumps(_index(case, loaded, slices)), encoding="utf-8")
    return ()


def _index(case: Case, loaded: LoadedCase, slices: CaseSlices) -> dict[str, Any]:
    brain = torch.stack([image > BACKGROUND for image in slices.images.values()]).any(dim=0)
    return {
        "case_id": case.case_id,
        "patient_id": case.patient_id,
        "windows": {modality: [window.lower, window.upper] for modality, window in loaded.windows.items()},
        "first_slice": slices.first_slice,
        "slice_mm": float(next(iter(loaded.images.values())).pixdim[2]),
        "brain_pixels": brain.flatten(1).sum(dim=1).tolist(),
        "tumour_pixels": None if slices.labels is None else (slices.labels > 0).flatten(1).sum(dim=1).tolist(),
        "warnings": list(loaded.warnings),
        "digests": voxel_digests(loaded.images),
    }


def _read_index(entry: Path) -> SlicedCase | None:
    """Return what an entry of the cache says, or None when there is none that can be used."""
    index = read_record(entry / _INDEX)
    try:
        return None if index is None else _case_of(entry, index)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return None


def _case_of(entry: Path, index: Mapping[str, Any]) -> SlicedCase:
    return SlicedCase(
        case_id=index["case_id"],
        patient_id=index["patient_id"],
        folder=entry,
        windows={Modality.named(name): IntensityWindow(*window) for name, window in index["windows"].items()},
        first_slice=index["first_slice"],
        slice_mm=index["slice_mm"],
        brain_pixels=tuple(index["brain_pixels"]),
        tumour_pixels=None if index["tumour_pixels"] is None else tuple(index["tumour_pixels"]),
        warnings=tuple(index["warnings"]),
        digests={Modality.named(name): digest for name, digest in index["digests"].items()},
    )
