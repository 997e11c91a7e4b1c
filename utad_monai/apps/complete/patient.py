"""One patient, whose images are named one by one: a cohort of one case that is looked at more strictly."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from utad_monai.data.layouts import Case
from utad_monai.data.layouts.table import listed_case
from utad_monai.data.preprocessing import LoadedCase, Preprocessing, load_case
from utad_monai.data.quality.case_name import folder_name_error, name_error
from utad_monai.data.quality.finding import CohortError, Finding, FindingKind
from utad_monai.data.quality.guards import input_error
from utad_monai.data.quality.mix_up import mix_up_warnings
from utad_monai.keys import Modality, ModalitySet
from utad_monai.transforms.grid import TO_ONE_GRID

NO_NAME = "patient"
"""What a patient is called where the output folder has no name that a case can have."""
_NIFTI = (".nii.gz", ".nii")
_REFUSED = {FindingKind.NOT_SKULL_STRIPPED, FindingKind.DUPLICATE}
"""What is a warning in a cohort, of which somebody looks at a table, and an error here."""
AS_GIVEN = "if the image is right, add --as-given"


def patient_case(images: Mapping[Modality, str | Path], output_dir: str | Path, modalities: ModalitySet) -> Case:
    """Return the case of one patient; it is called as the output folder is.

    Args:
        images: 1 to 3 NIfTI files with any names, by modality.
        output_dir: the folder of the results.
        modalities: those that the model knows.

    Raises:
        CohortError: for files that are missing, given twice, no NIfTI files, or that lie in the output folder.
    """
    files = {Modality.named(modality): Path(path) for modality, path in images.items()}
    output = Path(output_dir).resolve()
    name = NO_NAME if name_error(output.name) or folder_name_error(output.name) else output.name
    case = listed_case(name, files, modalities)
    for path in case.images.values():
        if path.resolve().is_relative_to(output):
            raise CohortError.of(path, "lies in the output folder", "choose an output folder of its own")
        if path.is_dir() or not path.name.endswith(_NIFTI):
            raise _raw(case, path, "is no NIfTI file (.nii, .nii.gz)")
    if not case.missing:
        raise CohortError.of(output_dir, "nothing is missing: all modalities are given", "give 1 to 3 of them")
    return case


def refuse_unusable(case: Case, preprocessing: Preprocessing, *, as_given: bool = False) -> None:
    """Look at the images of one patient before anything is made of them.

    Args:
        case: the patient.
        preprocessing: of the model.
        as_given: whether an image may look like another modality.

    Raises:
        CohortError: for images that cannot be used; where they look raw, with the commands that prepare them.
    """
    try:
        loaded = load_case(case, preprocessing)
    except CohortError as error:
        for problem in error.problems:
            if problem.file and problem.remedy == TO_ONE_GRID:
                raise _raw(case, problem.file, problem.text) from None
        raise CohortError([_of_nobody(problem) for problem in error.problems]) from None
    if bad := input_error(loaded):
        raise _raw(case, None, bad.text)
    _refuse_doubtful(case, list(_doubts(case, loaded)), as_given)


def _doubts(case: Case, loaded: LoadedCase) -> Iterator[Finding]:
    yield from loaded.findings
    yield from mix_up_warnings(case, loaded.images)


def _refuse_doubtful(case: Case, doubts: Sequence[Finding], as_given: bool) -> None:
    for doubt in doubts:
        if doubt.kind is FindingKind.NOT_SKULL_STRIPPED:
            raise _raw(case, doubt.file, doubt.text)
    errors = [doubt for doubt in doubts if doubt.kind in _REFUSED]
    if not as_given:
        errors += [_with_remedy(doubt, AS_GIVEN) for doubt in doubts if doubt.kind is FindingKind.MODALITY_MIX_UP]
    if errors:
        raise CohortError([_of_nobody(error) for error in errors[:1]])


def _with_remedy(finding: Finding, remedy: str) -> Finding:
    return Finding.error("", finding.file, finding.text, remedy, finding.kind)


def _of_nobody(finding: Finding) -> Finding:
    """Return an error without the name of its case: there is one patient alone."""
    return Finding.error("", finding.file, finding.text, finding.remedy, finding.kind)


def _raw(case: Case, file: Path | None, reason: str) -> CohortError:
    return CohortError([Finding.error("", file, reason, f"prepare the images: {prepare_commands(case)}")])


def prepare_commands(case: Case) -> str:
    """Return one line for a shell that registers and skull-strips a patient's images, and completes them."""
    raw = f"raw/{case.case_id}"
    copies = [f"cp -r {_quoted(path)} {_quoted(f'{raw}/{m}{_ending(path)}')}" for m, path in case.images.items()]
    steps = ["utad-monai prepare raw prepared", "utad-monai complete prepared --output completed"]
    return " && ".join([f"mkdir -p {_quoted(raw)}", *copies, *steps])


def _quoted(path: str | Path) -> str:
    return shlex.quote(str(path))


def _ending(path: Path) -> str:
    if path.is_dir():
        return ""
    return next((ending for ending in _NIFTI if path.name.endswith(ending)), path.suffix)
