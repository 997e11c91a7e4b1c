"""The refusal of a file says which file, why, and what to do."""

from __future__ import annotations

import pickle
from pathlib import Path

from utad_monai import transforms
from utad_monai.transforms import InvalidImageError


def test_message_has_file_reason_and_remedy() -> None:
    assert str(InvalidImageError("a/b.nii.gz", "is empty", "copy it again")) == "a/b.nii.gz: is empty; copy it again"


def test_it_is_a_value_error_with_a_default_remedy() -> None:
    error = InvalidImageError(Path("b.nii"), "is empty")
    assert isinstance(error, ValueError)
    assert "replace" in error.remedy


def test_parts_cross_a_process_border() -> None:
    error = InvalidImageError("a/b.nii.gz", "is empty", "copy it again")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.path, copy.reason, copy.remedy) == (Path("a/b.nii.gz"), "is empty", "copy it again")
    assert str(copy) == str(error)


def test_transforms_is_the_package_of_this_project() -> None:
    assert Path(str(transforms.__file__)).resolve().parent == Path(__file__).resolve().parents[2] / "transforms"
