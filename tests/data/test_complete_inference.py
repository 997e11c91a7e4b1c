"""Inference looks at the cases that were asked for, and says when there is no such case or split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from utad_monai.data import CohortError, InferenceCases, find_cases, keep_split, the_case
from utad_monai.keys import Modality, Split

WriteCase = Callable[..., Path]


def names(data: InferenceCases) -> list[str]:
    return [data[index].case_id for index in range(len(data))]


def test_every_case_of_a_folder_is_looked_at(tiny_cohort: Path) -> None:
    assert names(InferenceCases(tiny_cohort)) == [f"BraTS_{number:03d}" for number in range(6)]


def test_folder_of_one_case_will_do(tiny_cohort: Path) -> None:
    assert names(InferenceCases(tiny_cohort / "BraTS_002")) == ["BraTS_002"]


def test_nothing_is_loaded_yet(tmp_path: Path, write_case: WriteCase) -> None:
    folder = write_case(tmp_path, "A_1", modalities=[Modality.T1])
    (folder / "A_1_t1.nii.gz").write_bytes(b"")
    assert InferenceCases(tmp_path)[0].images == {Modality.T1: folder / "A_1_t1.nii.gz"}


def test_splits_share_the_cases(tiny_cohort: Path, tmp_path: Path) -> None:
    split = keep_split(find_cases(tiny_cohort), tmp_path)
    parts = {part: names(InferenceCases(tiny_cohort, part, output_dir=tmp_path)) for part in Split}
    for part, cases in parts.items():
        assert cases == sorted(name for name, own in split.items() if own is part)
    assert names(InferenceCases(tiny_cohort, "test", output_dir=str(tmp_path))) == parts[Split.TEST]


def test_named_cases_alone_are_looked_at(tiny_cohort: Path) -> None:
    assert names(InferenceCases(tiny_cohort, case_ids=["BraTS_004", "BraTS_001"])) == ["BraTS_001", "BraTS_004"]


def test_unknown_cases_are_refused_and_named(tiny_cohort: Path) -> None:
    with pytest.raises(CohortError, match=f"{tiny_cohort}: has no case BraTS_77, brats_001"):
        InferenceCases(tiny_cohort, case_ids=["BraTS_001", "brats_001", "BraTS_77"])


def test_case_of_another_split_is_refused(tiny_cohort: Path, tmp_path: Path) -> None:
    split = keep_split(find_cases(tiny_cohort), tmp_path)
    training = next(name for name, part in split.items() if part is Split.TRAIN)
    with pytest.raises(CohortError, match=f"has no case {training}"):
        InferenceCases(tiny_cohort, Split.TEST, output_dir=tmp_path, case_ids=[training])


def test_split_needs_the_file_of_the_run(tiny_cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"split\.csv: is missing"):
        InferenceCases(tiny_cohort, Split.TEST, output_dir=tmp_path)


def test_unknown_split_is_refused(tiny_cohort: Path, tmp_path: Path) -> None:
    keep_split(find_cases(tiny_cohort), tmp_path)
    with pytest.raises(ValueError, match="holdout"):
        InferenceCases(tiny_cohort, "holdout", output_dir=tmp_path)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="no cohort found"):
        InferenceCases(tmp_path / "nowhere")


def test_one_case_is_collated_as_it_is(tiny_cohort: Path) -> None:
    case = InferenceCases(tiny_cohort)[0]
    assert the_case([case]) is case
    with pytest.raises(ValueError, match="too many values"):
        the_case([case, case])
