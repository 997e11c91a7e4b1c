"""Everything that is checked about one case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from monai.data import MetaTensor

from transforms.load import ORIENTATION
from utad_monai.check.finding import CaseReport, Grid
from utad_monai.check.mix_up import suspected_swap
from utad_monai.data.case_volumes import load_volumes
from utad_monai.data.doubts import doubtful_volumes, voxel_digest
from utad_monai.data.findings import Finding, FindingKind
from utad_monai.data.layouts import Case
from utad_monai.data.preprocessing import LoadedCase, Preprocessing, normalise_case
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
    try:
        loaded = normalise_case(case, volumes, problems, preprocessing)
    except CohortError as error:
        problems = list(error.problems)
        findings = list(doubtful_volumes(case, volumes))
    else:
        findings = list(loaded.findings)
        if all(finding.kind is not FindingKind.NOT_SKULL_STRIPPED for finding in findings):
            findings.extend(_mix_up(case, loaded))  # its signs are those of brains
    digests = {m: voxel_digest(image.as_tensor()) for m, image in images.items() if bool(image.min() != image.max())}
    return CaseReport(case, _grid(volumes), tuple(problems), tuple(findings), digests)


def _grid(volumes: Mapping[Modality | str, MetaTensor]) -> Grid | None:
    for volume in volumes.values():
        x, y, z = volume.shape[1:]
        sizes = [round(float(size), 3) for size in volume.pixdim]
        return Grid((x, y, z), (sizes[0], sizes[1], sizes[2]), str(volume.meta[ORIENTATION]))
    return None


def _mix_up(case: Case, loaded: LoadedCase) -> Iterator[Finding]:
    if swap := suspected_swap(loaded.images):
        first, second = swap
        text = f"the images look as if modalities were mixed up, most likely {first} and {second}: look at them"
        yield Finding(FindingKind.MODALITY_MIX_UP, case.case_id, None, text)
