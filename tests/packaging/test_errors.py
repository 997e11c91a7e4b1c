"""A library that is missing is named, with the command that installs it."""

from __future__ import annotations

import sys

import pytest

from utad_monai.errors import EXPECTED
from utad_monai.packaging.errors import PackageError, required_module


def test_missing_library_is_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        PackageError, match=r'onnxruntime is not installed.*pip install "utad-monai\[export\]"'
    ) as found:
        required_module("onnxruntime")
    assert "\n" not in str(found.value)


def test_installed_library_is_given() -> None:
    assert required_module("json").loads("1") == 1


def test_package_error_reaches_the_user_plainly() -> None:
    assert PackageError in EXPECTED
