"""Everything that is checked about one case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from monai.data import MetaTensor

from transforms.load import ORIENTATION
from utad_monai.check.duplicates import voxel_digest
from utad_monai.check.finding import CaseReport, Finding, FindingKind, Grid
from utad_monai.check.intensities import doubtful_intensities
from utad_monai.check.mix_up import suspected_swap
from utad_monai.check.segmentation import doubtful_segmentation
from utad_monai.check.skull import skull_signs
from utad_monai.data.layouts import Case, doubtful_name
from utad_monai.data.preprocessing import LoadedCase, Preprocessing, load_volumes, load_warnings, normalise_case
from utad_monai.data.problems import CohortError, CohortProblem
from utad_monai.keys import Modality


def check_case(case: Case, preprocessing: Preprocessing) -> CaseReport:
    """Load a case as training and inference do, and report what is wrong or doubtful; nothing is raised."""
    try:
        return _check(case, preprocessing)
    except (ArithmeticError, MemoryError, OSError, RuntimeError, TypeError, ValueError) as error:
        # one case must not end the check of all others, whatever it does to the libraries
        reason = f"could not be checked ({type(error).__name__}: {error})"
        problem = CohortProblem(case.case_id, case.files[0], reason, "replace or re-export the case")
        return CaseReport(case, None, (problem,), (), {})


def _check(case: Case, preprocessing: Preprocessing) -> CaseReport:
    volumes, problems = load_volumes(case)
    images = {modality: volumes[modality] for modality in case.images if modality in volumes}
    findings = [*_name(case), *_intensities(case, images)]
    unstripped = list(_skull(case, images))
    findings.extend(unstripped)
    try:
        loaded = normalise_case(case, volumes, problems, preprocessing)
    except CohortError as error:
        problems = list(error.problems)
        findings.extend(_files(case, load_warnings(volumes)))
    else:
        findings.extend(_files(case, loaded.warnings))
        findings.extend(_segmentation(case, loaded))
        findings.extend([] if unstripped else _mix_up(case, loaded))  # its signs are those of brains
    digests = {m: voxel_digest(image.as_tensor()) for m, image in images.items() if bool(image.min() != image.max())}
    return CaseReport(case, _grid(volumes), tuple(problems), tuple(findings), digests)


def _grid(volumes: Mapping[Modality | str, MetaTensor]) -> Grid | None:
    for volume in volumes.values():
        x, y, z = volume.shape[1:]
        sizes = [round(float(size), 3) for size in volume.pixdim]
        return Grid((x, y, z), (sizes[0], sizes[1], sizes[2]), str(volume.meta[ORIENTATION]))
    return None


def _name(case: Case) -> Iterator[Finding]:
    if doubt := doubtful_name(case.case_id):
        yield Finding(FindingKind.NAME, case.case_id, None, f"{doubt}; rename the case")


def _files(case: Case, warnings: list[str] | tuple[str, ...]) -> Iterator[Finding]:
    """Yield the loader's warnings, whose file (if any) stands before the first colon that ends a file name."""
    for warning in warnings:
        file = next((path for path in case.files if warning.startswith(f"{path}: ")), None)
        yield Finding(FindingKind.FILE, case.case_id, file, warning.removeprefix(f"{file}: "))


def _intensities(case: Case, images: Mapping[Modality, MetaTensor]) -> Iterator[Finding]:
    for modality, image in images.items():
        for text in doubtful_intensities(image.as_tensor()):
            yield Finding(FindingKind.INTENSITY, case.case_id, case.images[modality], _of(case, modality, text))


def _skull(case: Case, images: Mapping[Modality, MetaTensor]) -> Iterator[Finding]:
    for modality, image in images.items():
        if text := skull_signs(image.as_tensor()[0], [float(size) for size in image.pixdim]):
            file: Path = case.images[modality]
            yield Finding(FindingKind.NOT_SKULL_STRIPPED, case.case_id, file, _of(case, modality, text))


def _segmentation(case: Case, loaded: LoadedCase) -> Iterator[Finding]:
    if loaded.regions is not None:
        for text in doubtful_segmentation(loaded.regions[0], loaded.brain):
            yield Finding(FindingKind.SEGMENTATION, case.case_id, case.segmentation, text)


def _mix_up(case: Case, loaded: LoadedCase) -> Iterator[Finding]:
    if swap := suspected_swap(loaded.images):
        first, second = swap
        text = f"the images look as if modalities were mixed up, most likely {first} and {second}: look at them"
        yield Finding(FindingKind.MODALITY_MIX_UP, case.case_id, None, text)


def _of(case: Case, modality: Modality, text: str) -> str:
    """Name the channel when the file holds several modalities."""
    channel = case.channel(modality)
    return text if channel is None else f"channel {channel} ({modality}) {text}"
