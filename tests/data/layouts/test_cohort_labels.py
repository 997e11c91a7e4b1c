"""Which label set a cohort follows: who decides, when the user is asked, and that a cavity never enhances."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from utad_monai.data import BIDS, BRATS_2017_TO_2021, BRATS_2023, look_for_cases
from utad_monai.data.case_volumes import case_dictionary
from utad_monai.data.preprocessing import Preprocessing, load_case
from utad_monai.keys import Modality, TumourRegion

Make = Callable[..., Path]
CAVITY = {1: 4, 2: 2, 3: 0}
"""Core to cavity 4, oedema 2, nothing enhances."""
LATE = {1: 1, 2: 2, 3: 3}
EARLY = {1: 1, 2: 2, 3: 4}
PED = {1: 2, 2: 4, 3: 1}
MSD = {1: 2, 2: 1, 3: 3}
RIM_OF_CAVITY = {1: 4, 2: 2, 3: 1}
"""A cavity with a rim of non-enhancing tumour: the values of 2020 in another order of shells."""


def relabel(path: Path, mapping: Mapping[int, float], before: Mapping[int, int] = LATE, dtype: Any = np.uint8) -> None:
    """Write a segmentation anew: canonical values by a mapping; `before` is what the file has for each."""
    image = nibabel.load(path)
    old = np.asarray(image.dataobj)
    new = np.zeros(old.shape, dtype)
    for label, value in mapping.items():
        new[old == before[label]] = value
    nibabel.save(nibabel.Nifti1Image(new, image.affine), path)


@pytest.fixture
def table(tmp_path: Path, write_case: Make) -> Callable[..., Path]:
    """Write a cohort.csv whose cases have label values by a mapping each; return its folder."""

    def _write(*mappings: Mapping[int, float], names: tuple[str, ...] = (), extra: tuple[str, ...] = ()) -> Path:
        root = tmp_path / "cohort"
        rows = ["case,t1,seg" + (",label_set" if extra else "")]
        for number, mapping in enumerate(mappings):
            name = names[number] if names else f"p{number}"
            write_case(root, name, [Modality.T1], layout=BRATS_2023, seed=number)
            relabel(root / name / f"{name}-seg.nii.gz", mapping)
            (root / name / f"{name}-seg.nii.gz").rename(root / name / "seg.nii.gz")
            cells = [f"case{number}", f"{name}/{name}-t1n.nii.gz", f"{name}/seg.nii.gz", *extra[number : number + 1]]
            rows.append(",".join(cells))
        (root / "cohort.csv").write_text("\n".join(rows) + "\n")
        return root

    return _write


def sets(folder: Path, label_set: str | Path = "") -> list[str]:
    found = look_for_cases(folder, label_set=label_set)
    assert [str(problem) for problem in found.problems] == []
    return [case.label_set.name or case.label_set.title for case in found.cases if case.label_set]


def question(folder: Path) -> str:
    (problem,) = look_for_cases(folder).problems
    assert all(case.segmentation is None for case in look_for_cases(folder).cases), "nothing is used until it is told"
    assert len(str(problem).splitlines()) == 1
    return str(problem)


def enhancing(folder: Path, label_set: str | Path = "") -> list[int]:
    cases = look_for_cases(folder, label_set=label_set).cases
    place = list(TumourRegion).index(TumourRegion.ET)
    regions = [load_case(case, Preprocessing()).regions for case in cases]
    return [int(one[place].sum()) for one in regions if one is not None]


@pytest.mark.parametrize(
    ("mappings", "fitting"),
    [
        ([CAVITY, CAVITY], ["brats2020 (2 oedema, 4 enhancing)", "brats2024 (2 oedema, 4 cavity)", "brats-ped"]),
        ([CAVITY, LATE], ["brats2024", "brats-ped"]),
        ([EARLY, LATE, EARLY], ["brats2024", "brats-ped"]),
        ([{1: 1, 2: 2, 3: 3}, {1: 4, 2: 2, 3: 3}], ["brats2024"]),
        ([RIM_OF_CAVITY, RIM_OF_CAVITY], ["brats2020", "brats2024"]),
        ([PED, PED, PED], ["brats2020", "brats-ped"]),
        ([{1: 3, 2: 4, 3: 1}], ["brats2024", "brats-ped"]),
        ([MSD, MSD], ["brats2023", "msd"]),
        ([{1: 4, 2: 0, 3: 0}], ["brats2020", "brats2024"]),
    ],
    ids=["cavity", "cavity-beside-3", "mixed", "cavity-and-3", "rim", "ped", "ped-cyst", "msd", "cavity-alone"],
)
def test_a_table_of_which_several_sets_fit_is_a_question(
    table: Callable[..., Path], mappings: list[Any], fitting: list[str]
) -> None:
    asked = question(table(*mappings))
    assert all(one in asked for one in fitting)
    assert 'put label_set.json with {"label_set": NAME}' in asked


def test_values_of_early_challenges_in_their_shells_are_taken_as_they_were(table: Callable[..., Path]) -> None:
    folder = table(EARLY, EARLY, {2: 2, 3: 4})
    assert sets(folder) == ["brats2020"] * 3
    assert all(enhancing(folder))


def test_values_of_late_challenges_are_taken_as_they_were(table: Callable[..., Path]) -> None:
    assert sets(table(LATE, {2: 2}, {2: 2, 3: 3})) == ["brats2023"] * 3


def test_the_answer_in_the_folder_answers(table: Callable[..., Path]) -> None:
    folder = table(CAVITY, CAVITY)
    (folder / "label_set.json").write_text('{"label_set": "brats2024"}')
    assert sets(folder) == ["brats2024"] * 2
    assert enhancing(folder) == [0, 0]


def test_an_answer_that_is_given_goes_before_the_file(table: Callable[..., Path], tmp_path: Path) -> None:
    folder = table(CAVITY)
    (folder / "label_set.json").write_text('{"label_set": "brats2020"}')
    assert sets(folder) == ["brats2020"]
    assert sets(folder, "brats2024") == ["brats2024"]
    mine = tmp_path / "mine.csv"
    mine.write_text("value,meaning\n2,oedema\n4,resection cavity\n")
    assert sets(folder, mine) == ["mine.csv"]
    assert enhancing(folder, mine) == [0]


def test_a_table_answers_for_each_case(table: Callable[..., Path]) -> None:
    folder = table(EARLY, LATE, CAVITY, extra=("brats2020", "brats2023", "brats2024"))
    assert sets(folder) == ["brats2020", "brats2023", "brats2024"]
    *first, last = enhancing(folder)
    assert all(first)
    assert last == 0


def test_a_word_in_the_table_that_is_no_set_is_a_problem_of_its_line(table: Callable[..., Path]) -> None:
    (problem,) = look_for_cases(table(EARLY, EARLY, extra=("brats2020", "mine"))).problems
    assert "line 3: 'mine' is no label set" in str(problem)


def test_names_in_the_table_decide_each_for_itself(table: Callable[..., Path]) -> None:
    names = ("BraTS-PED-00001-000", "BraTS20_Training_001", "BraTS-GLI-00001-101")
    assert sets(table(PED, EARLY, CAVITY, names=names)) == ["brats-ped", "brats2020", "brats2024"]


def test_a_sidecar_of_one_segmentation_speaks_for_it(table: Callable[..., Path]) -> None:
    folder = table(CAVITY, EARLY)
    (folder / "p0" / "seg.json").write_text('{"label_set": "brats2024"}')
    (folder / "p1" / "seg.json").write_text('{"Manual": true}')
    assert sets(folder) == ["brats2024", "brats2020"]


def test_names_of_labels_in_a_dataset_json_decide(table: Callable[..., Path]) -> None:
    folder = table(CAVITY)
    labels = {"background": 0, "NETC": 1, "SNFH": 2, "ET": 3, "RC": 4}
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert sets(folder) == ["brats2024"]


@pytest.mark.parametrize("text", ['{"label_set": "x"}', '{"4": "hole"}', "nothing"])
def test_an_answer_that_cannot_be_understood_stops_everything(table: Callable[..., Path], text: str) -> None:
    folder = table(EARLY)
    (folder / "label_set.json").write_text(text)
    with pytest.raises(ValueError, match=r"label_set.json: is no label set"):
        look_for_cases(folder)


def test_two_answers_in_the_folder_are_refused(table: Callable[..., Path]) -> None:
    folder = table(EARLY)
    (folder / "label_set.json").write_text('"brats2020"')
    (folder / "label_set.csv").write_text("1,edema\n")
    with pytest.raises(ValueError, match="keep one of them"):
        look_for_cases(folder)


def test_a_segmentation_that_cannot_be_read_decides_nothing(table: Callable[..., Path]) -> None:
    folder = table(EARLY, EARLY)
    (folder / "p1" / "seg.nii.gz").write_bytes(b"no image")
    assert sets(folder) == ["brats2020"] * 2


def bids(root: Path, write_case: Make, *mappings: Mapping[int, float]) -> Path:
    for number, mapping in enumerate(mappings):
        folder = write_case(root, f"p{number}", [Modality.T1], layout=BRATS_2023, seed=number)
        anat = root / f"sub-0{number}" / "anat"
        anat.mkdir(parents=True)
        relabel(folder / f"p{number}-seg.nii.gz", mapping)
        (folder / f"p{number}-t1n.nii.gz").rename(anat / f"sub-0{number}_T1w.nii.gz")
        (folder / f"p{number}-seg.nii.gz").rename(anat / f"sub-0{number}_dseg.nii.gz")
        folder.rmdir()
    return root


def test_bids_asks_as_tables_do(tmp_path: Path, write_case: Make) -> None:
    folder = bids(tmp_path / "bids", write_case, CAVITY, CAVITY)
    assert "brats2024" in question(folder)
    (folder / "label_set.csv").write_text("2,SNFH\n4,RC\n")
    assert enhancing(folder) == [0, 0]
    assert {case.layout.name for case in look_for_cases(folder).cases} == {BIDS.name}


@pytest.mark.parametrize(
    ("name", "mapping", "expected"),
    [
        ("BraTS-GLI-00001-101", CAVITY, "brats2024"),
        ("BraTS-GLI-00001-000", LATE, "brats2023"),
        ("BraTS-PED-00001-000", PED, "brats-ped"),
        ("BraTS-MET-00001-000", {1: 4, 2: 2, 3: 3}, "brats-met"),
        ("p1", LATE, "brats2023"),
    ],
)
def test_official_names_decide_among_later_challenges(
    tmp_path: Path, write_case: Make, name: str, mapping: Any, expected: str
) -> None:
    folder = write_case(tmp_path / "cohort", name, [Modality.T1], layout=BRATS_2023)
    relabel(folder / f"{name}-seg.nii.gz", mapping)
    assert sets(tmp_path / "cohort") == [expected]
    assert bool(enhancing(tmp_path / "cohort")[0]) == (3 in mapping and mapping[3] != 0)


def test_endings_of_early_challenges_with_values_that_do_not_fit_are_a_question(
    tmp_path: Path, write_case: Make
) -> None:
    for number, mapping in enumerate((CAVITY, {1: 4, 2: 2, 3: 3})):
        folder = write_case(tmp_path / "cohort", f"p{number}", [Modality.T1], seed=number)
        relabel(folder / f"p{number}_seg.nii.gz", mapping, EARLY)
    assert "brats2024" in question(tmp_path / "cohort")


@pytest.mark.parametrize("odd", [{1: 4, 2: 2, 3: 3}, LATE], ids=["3-beside-4", "3"])
def test_one_odd_file_among_early_ones_is_refused_alone(tmp_path: Path, write_case: Make, odd: Any) -> None:
    for number in range(3):
        write_case(tmp_path / "cohort", f"p{number}", [Modality.T1], seed=number)
    relabel(tmp_path / "cohort" / "p1" / "p1_seg.nii.gz", odd, EARLY)
    assert sets(tmp_path / "cohort") == ["brats2020"] * 3
    with pytest.raises(ValueError, match=r"case p1: .*unknown label values 3; .*label_set.json"):
        enhancing(tmp_path / "cohort")


def test_endings_of_early_challenges_that_fit_are_believed(tmp_path: Path, write_case: Make) -> None:
    write_case(tmp_path / "cohort", "p", [Modality.T1])
    (case,) = look_for_cases(tmp_path / "cohort").cases
    assert case.layout is BRATS_2017_TO_2021
    assert sets(tmp_path / "cohort") == ["brats2020"]


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [({1: 4, 2: 2, 3: 3}, "brats2024"), ({2: 2}, "brats2024"), (EARLY, ""), (LATE, "brats2024")],
)
def test_a_name_and_endings_of_another_challenge_must_not_contradict(
    tmp_path: Path, write_case: Make, mapping: Any, expected: str
) -> None:
    name = "BraTS-GLI-00005-101"
    folder = write_case(tmp_path / "cohort", name, [Modality.T1])
    relabel(folder / f"{name}_seg.nii.gz", mapping, EARLY)
    if expected:
        assert sets(tmp_path / "cohort") == [expected]
    else:
        assert "brats2024 (1 necrotic, 2 oedema, 4 cavity); brats2020" in question(tmp_path / "cohort")


def test_official_names_of_early_challenges_are_not_opened(tmp_path: Path, write_case: Make) -> None:
    folder = write_case(tmp_path / "cohort", "Brats18_CBICA_AAB_1", [Modality.T1])
    (folder / "Brats18_CBICA_AAB_1_seg.nii.gz").write_bytes(b"")
    assert sets(tmp_path / "cohort") == ["brats2020"]


def test_values_near_whole_numbers_are_those_numbers(table: Callable[..., Path]) -> None:
    folder = table(LATE, LATE)
    values = ({1: 1.00001, 2: 2, 3: 3.999}, {1: 0.995, 2: 2.004, 3: 4})
    for number, mapping in enumerate(values):
        relabel(folder / f"p{number}" / "seg.nii.gz", mapping, dtype=np.float32)
    assert sets(folder) == ["brats2020"] * 2
    cases = look_for_cases(folder).cases
    warnings = [warning for case in cases for warning in load_case(case, Preprocessing()).warnings]
    assert sum("they are rounded" in warning for warning in warnings) == 2


def test_meanings_go_to_the_transforms_of_the_case(table: Callable[..., Path]) -> None:
    folder = table(CAVITY)
    (case,) = look_for_cases(folder, label_set="brats2024").cases
    assert case_dictionary(case)["label_meanings"] == {1: 1, 2: 2, 3: 3, 4: 0}
