"""Where a model's weights are."""

from __future__ import annotations

from pathlib import Path

from utad_monai.packaging.layout import PackageFile, weights_file


def test_weights_of_a_model_file_are_the_file(tmp_path: Path) -> None:
    assert weights_file(tmp_path / "model.pt") == tmp_path / "model.pt"


def test_weights_of_a_package_are_inside_it(tmp_path: Path) -> None:
    assert weights_file(tmp_path) == tmp_path / "models" / "model.pt"


def test_files_that_the_model_zoo_asks_for_are_there() -> None:
    wanted = {"LICENSE", "configs/metadata.json", "configs/inference.json", "models/model.pt", "docs/README.md"}
    assert wanted <= {file.value for file in PackageFile}
