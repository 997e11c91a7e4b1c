"""Voxels are seen through views of images that live as long: SimpleITK's views do not keep them alive."""

from __future__ import annotations

import ast
from pathlib import Path

import utad_monai


def views_of_temporaries(source: str) -> list[int]:
    """Return the lines that view an image which nothing else holds."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "GetArrayViewFromImage"
        and not isinstance(node.args[0], (ast.Name, ast.Attribute))
    ]


def test_only_images_with_a_name_are_viewed() -> None:
    package = Path(utad_monai.__file__).parent
    found = {path.name: views_of_temporaries(path.read_text(encoding="utf-8")) for path in package.rglob("*.py")}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_a_view_of_a_temporary_is_found() -> None:
    assert views_of_temporaries("a = 1\nsitk.GetArrayViewFromImage(resample(image))") == [2]
    assert views_of_temporaries("sitk.GetArrayViewFromImage(image)\nsitk.GetArrayViewFromImage(self.image)") == []
